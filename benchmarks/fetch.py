"""Does the crawl store at least as many pictures a second as img2dataset while it is polite, and 1.5 times as many with the pace off?

Both sides fetch one list from `sites/many_hosts.py`: 600 hosts on loopback, 20 pictures of about 512 pixels each (nine JPEGs to a PNG), in
random order, on the same two cores, which the web shares with them. Both keep the aspect ratio, 256 pixels on the longest side, write JPEG
of quality 95 into tars of 1,000 and take the SHA-256 of what came. Times are those of the whole command, start and last manifest included.

Ours obeys robots.txt and tdmrep.json (two more requests to each host), opt-out headers and all bounds in every run. `polite`: the
default pace, one request a second to a host and at most two at once, so 20 pictures and two files take a host 22 seconds at least;
`pace off`: delay 0. The peer has no pace and asks for no robots.txt; it runs with processes_count 2 and the best of the thread counts
given (`--threads`), each tried on a third of the list first. Its area interpolation and our averaging are the same at a half.

`python benchmarks/fetch.py` takes about four minutes. The peer's newest release is installed from PyPI into `.venv-peers/img2dataset`.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import read_table, write_table

HERE = Path(__file__).parent
SITE = HERE / "sites/many_hosts.py"
PEERS = HERE.parent / ".venv-peers/img2dataset"
sys.path.insert(0, str(SITE.parent))
import many_hosts  # noqa: E402  # pyright: ignore[reportMissingImports]  # found beside this script

POLITE = ("--delay-s", "1", "--concurrency-per-host", "2")
PACE_OFF = ("--delay-s", "0", "--concurrency-per-host", "2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=600)
    parser.add_argument("--pictures", type=int, default=20, help="of each host")
    parser.add_argument("--threads", type=int, nargs="+", default=[16, 32, 64], help="thread counts of the peer to choose from")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        whole = write_list(folder / "list.parquet", options.hosts, options.pictures)
        third = write_list(folder / "third.parquet", options.hosts, max(1, options.pictures // 3))
        installed = install_peer()
        server = subprocess.Popen([sys.executable, str(SITE), str(options.hosts)], stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None and server.stdout.readline(), "the web did not start"
            rates = {threads: peer(folder, "third.parquet", third, threads) for threads in options.threads}
            threads = max(rates, key=lambda count: rates[count])
            print(f"img2dataset {installed}: {', '.join(f'{rate:.1f} pictures/s with {n} threads' for n, rate in rates.items())}")
            theirs = peer(folder, "list.parquet", whole, threads)
            polite, pace_off = (ours(folder, whole, pace) for pace in (POLITE, PACE_OFF))
        finally:
            server.kill()
    print(f"figure fetch_img2dataset {theirs:.1f} pictures/s")
    print(f"figure fetch_ours_polite {polite:.1f} pictures/s")
    print(f"figure fetch_ours_pace_off {pace_off:.1f} pictures/s")
    print(f"ratio fetch_polite {polite / theirs:.2f}")
    print(f"ratio fetch_pace_off {pace_off / theirs:.2f}")


def write_list(path: Path, hosts: int, pictures: int) -> int:
    """How many addresses were written, in random order."""
    urls = list(many_hosts.addresses(hosts, pictures))
    random.Random(0).shuffle(urls)
    write_table(pa.table({"url": urls, "caption": [f"picture number {number}" for number in range(len(urls))]}), path)
    return len(urls)


def install_peer() -> str:
    """The peer's version; its environment is made when it is not there."""
    python = PEERS / "bin/python"
    if not (PEERS / "bin/img2dataset").exists():
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert uv is not None, "uv is not installed; make setup installs it"
        subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(PEERS)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), "img2dataset"], check=True)
    asked = "import importlib.metadata as m; print(m.version('img2dataset'))"
    return subprocess.run([str(python), "-c", asked], check=True, capture_output=True, text=True).stdout.strip()


def peer(folder: Path, listed: str, pictures: int, threads: int) -> float:
    """Pictures a second that img2dataset stores."""
    out = folder / "peer"
    shutil.rmtree(out, ignore_errors=True)
    command = [
        *(str(PEERS / "bin/img2dataset"), str(folder / listed), "--output_folder", str(out), "--input_format", "parquet"),
        *("--url_col", "url", "--caption_col", "caption", "--output_format", "webdataset", "--number_sample_per_shard", "1000"),
        *("--processes_count", "2", "--thread_count", str(threads), "--image_size", "256", "--resize_mode", "keep_ratio_largest"),
        *("--resize_only_if_bigger", "True", "--encode_format", "jpg", "--encode_quality", "95", "--compute_hash", "sha256"),
        *("--disallowed_header_directives", '["noai","noimageai","noindex","noimageindex"]'),
    ]
    seconds = timed(command, {"NO_ALBUMENTATIONS_UPDATE": "1"})
    statuses = [status for path in out.glob("*.parquet") for status in read_table(path, columns=["status"])["status"].to_pylist()]
    assert statuses.count("success") == pictures, f"the peer stored {statuses.count('success')} of {pictures}"
    return pictures / seconds


def ours(folder: Path, pictures: int, pace: tuple[str, ...]) -> float:
    """Pictures a second that the crawl stores."""
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "unclip_crawl", "--store", str(home), "--batch", "a", "--contact", "bench@example.org"),
        *("--list", str(folder / "list.parquet"), "--allow-loopback", "--store-format", "jpeg", *pace),
    ]
    seconds = timed(command, {})
    statuses = read_table(home / "crawl/a/rows.parquet", columns=["status"])["status"].to_pylist()
    assert statuses.count("ok") == pictures, f"the crawl stored {statuses.count('ok')} of {pictures}"
    return pictures / seconds


def timed(command: list[str], also: dict[str, str]) -> float:
    """The seconds a command takes."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=900, env=os.environ | also)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
