"""Real S3 server for `make test-s3`: OpenStack Swift with its S3 interface, on loopback, until standard input closes.

`python swift_server.py ENVIRONMENT FOLDER PROXY_PORT` starts memcached and the four servers of the environment that `make test-s3` made,
prints one JSON line (url, key, secret) when they answer, and ends each by its own process id: they leave the process group of whoever
starts them. The folder keeps what was stored, so the next start finds it; its file system must hold extended attributes.
"""

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

KEY, SECRET = "test:tester", "testing-secret"
KINDS = ("object", "container", "account")
# the file with the hash suffix is looked for under /etc, which is not ours to write to
STARTER = """
import runpy, sys
from swift.common import utils
utils.SWIFT_CONF_FILE = sys.argv[1]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SERVER = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
FILTERS = (
    "catch_errors",
    "gatekeeper",
    "cache",
    "listing_formats",
    "s3api",
    "tempauth",
    "copy",
    "slo",
    "dlo",
    "versioned_writes",
    "symlink",
)
OPTIONS = {
    "cache": "memcache_servers = 127.0.0.1:{memcached}",
    "tempauth": f"user_test_tester = {SECRET} .admin",
    "versioned_writes": "allow_versioned_writes = true",
    "gatekeeper": "set log_level = ERROR",
    "slo": "max_manifest_segments = 10000",
}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ports_of(folder: Path, proxy: int) -> dict[str, int]:
    """The ports of all parts; the rings name them, so they stay the same at the next start."""
    file = folder / "ports.json"
    if not file.exists():
        file.write_text(json.dumps({kind: free_port() for kind in (*KINDS, "memcached")}))
    return json.loads(file.read_text()) | {"proxy": proxy}


def configure(environment: Path, folder: Path, ports: dict[str, int]) -> None:
    """Writes the settings, and at the first start the rings: one device, one replica."""
    (folder / "devices" / "d1").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n")
    user = getpass.getuser()
    for kind in KINDS:
        (folder / f"{kind}.conf").write_text(SERVER.format(kind=kind, port=ports[kind], user=user, folder=folder))
        if not (folder / f"{kind}.ring.gz").exists():
            builder = [str(environment / "bin/swift-ring-builder"), str(folder / f"{kind}.builder")]
            device = f"r1z1-127.0.0.1:{ports[kind]}/d1"
            for words in (["create", "4", "1", "0"], ["add", device, "1"], ["rebalance"]):
                done = subprocess.run([*builder, *words], capture_output=True, check=False)
                assert done.returncode in (0, 1), done.stdout + done.stderr  # 1 is a warning
    text = f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {ports['proxy']}\nworkers = 0\nuser = {user}\nswift_dir = {folder}\n"
    text += f"[pipeline:main]\npipeline = {' '.join(FILTERS)} proxy-server\n"
    text += "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n"
    for name in FILTERS:
        text += f"[filter:{name}]\nuse = egg:swift#{'memcache' if name == 'cache' else name}\n"
        text += OPTIONS.get(name, "").format(memcached=ports["memcached"]) + "\n"
    (folder / "proxy.conf").write_text(text)


def start(environment: Path, folder: Path, ports: dict[str, int]) -> list[subprocess.Popen[bytes]]:
    memcached = shutil.which("memcached") or "/usr/bin/memcached"
    own = ["-u", "nobody"] if os.geteuid() == 0 else []
    log = (folder / "servers.log").open("ab")
    processes = [subprocess.Popen([memcached, "-l", "127.0.0.1", "-p", str(ports["memcached"]), *own], stdout=log, stderr=log)]
    for kind in (*KINDS, "proxy"):
        command = [str(environment / "bin/python"), "-W", "ignore", "-c", STARTER, str(folder / "swift.conf")]
        command += [str(environment / f"bin/swift-{kind}-server"), str(folder / f"{kind}.conf"), "verbose"]
        processes.append(subprocess.Popen(command, stdout=log, stderr=log))
    return processes


def wait_until_it_answers(url: str, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """The proxy refuses an unsigned request with a 4xx once the servers behind it are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"Swift does not answer:\n{(folder / 'servers.log').read_text()[-3000:]}")


def main() -> None:
    environment, folder, port = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    ports, url = ports_of(folder, port), f"http://127.0.0.1:{port}"
    configure(environment, folder, ports)
    processes = start(environment, folder, ports)
    try:
        wait_until_it_answers(url, processes, folder)
        sys.stdout.write(json.dumps({"url": url, "key": KEY, "secret": SECRET}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


if __name__ == "__main__":
    main()
