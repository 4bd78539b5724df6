"""Does the crawl store at least as many pictures a second as img2dataset while it is polite, and 1.5 times as many without a delay?

Both sides fetch one list from `sites/many_hosts.py`: 600 hosts on loopback, 20 pictures of about 512 pixels each (nine JPEGs to a PNG), in
random order, on the same two cores, which the web shares with them. Both keep the aspect ratio, 256 pixels on the longest side, write JPEG
of quality 95 into tars of 1,000 and take the SHA-256 of what came. Times are those of the whole command, start and last manifest included.

Ours obeys robots.txt and tdmrep.json (two more requests to each host), opt-out headers and all bounds in every run. `polite`: the
default delay, one request a second to a host and at most two at once, so 20 pictures and two files take a host 22 seconds at least;
`no delay`: 0 seconds. The peer has no delay and asks for no robots.txt; it runs with processes_count 2 and the best of the thread counts
given (`--threads`), each tried on a third of the list first. It unpacks all and averages areas (its default); ours unpacks a JPEG at the
half, quarter or eighth of its size that is still large enough and resamples what is left with Lanczos.

`python benchmarks/fetch.py` takes about two and a half minutes. The peer's newest release is installed from PyPI into
`.venv-peers/img2dataset`.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import read_table, write_table

HERE = Path(__file__).parent
SITE = HERE / "sites/many_hosts.py"
PEERS = HERE.parent / ".venv-peers/img2dataset"
sys.path.insert(0, str(SITE.parent))
import many_hosts  # noqa: E402  # pyright: ignore[reportMissingImports]  # found beside this script

POLITE = ("--delay-s", "1", "--concurrency-per-host", "2")
NO_DELAY = ("--delay-s", "0", "--concurrency-per-host", "2")


@dataclass(frozen=True)
class Cost:
    """Pictures stored a second, and milliseconds of processor time for each, which other work on the machine changes less."""

    rate: float
    busy_ms: float


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
            rates = {threads: peer(folder, "third.parquet", third, threads).rate for threads in options.threads}
            threads = max(rates, key=lambda count: rates[count])
            print(f"img2dataset {installed}: {', '.join(f'{rate:.1f} pictures/s with {n} threads' for n, rate in rates.items())}")
            theirs = peer(folder, "list.parquet", whole, threads)
            polite, no_delay = (ours(folder, whole, flags) for flags in (POLITE, NO_DELAY))
        finally:
            server.kill()
    for name, cost in (("img2dataset", theirs), ("ours_polite", polite), ("ours_no_delay", no_delay)):
        print(f"figure fetch_{name} {cost.rate:.1f} pictures/s")
        print(f"figure fetch_{name}_busy {cost.busy_ms:.2f} ms of processor time a picture")
    print(f"ratio fetch_busy {theirs.busy_ms / no_delay.busy_ms:.2f}")
    print(f"ratio fetch_polite {polite.rate / theirs.rate:.2f}")
    print(f"ratio fetch_no_delay {no_delay.rate / theirs.rate:.2f}")


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


def peer(folder: Path, listed: str, pictures: int, threads: int) -> Cost:
    """What img2dataset takes to fetch and store them."""
    out = folder / "peer"
    shutil.rmtree(out, ignore_errors=True)
    command = [
        *(str(PEERS / "bin/img2dataset"), str(folder / listed), "--output_folder", str(out), "--input_format", "parquet"),
        *("--url_col", "url", "--caption_col", "caption", "--output_format", "webdataset", "--number_sample_per_shard", "1000"),
        *("--processes_count", "2", "--thread_count", str(threads), "--image_size", "256", "--resize_mode", "keep_ratio_largest"),
        *("--resize_only_if_bigger", "True", "--encode_format", "jpg", "--encode_quality", "95", "--compute_hash", "sha256"),
        *("--disallowed_header_directives", '["noai","noimageai","noindex","noimageindex"]'),
    ]
    cost = timed(command, pictures, {"NO_ALBUMENTATIONS_UPDATE": "1"})
    statuses = [status for path in out.glob("*.parquet") for status in read_table(path, columns=["status"])["status"].to_pylist()]
    assert statuses.count("success") == pictures, f"the peer stored {statuses.count('success')} of {pictures}"
    return cost


def ours(folder: Path, pictures: int, flags: tuple[str, ...]) -> Cost:
    """What the crawl takes to fetch and store them."""
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "unclip_crawl", "--store", str(home), "--batch", "a", "--contact", "bench@example.org"),
        *("--list", str(folder / "list.parquet"), "--allow-loopback", "--store-format", "jpeg", *flags),
    ]
    cost = timed(command, pictures, {})
    statuses = read_table(home / "crawl/a/rows.parquet", columns=["status"])["status"].to_pylist()
    assert statuses.count("ok") == pictures, f"the crawl stored {statuses.count('ok')} of {pictures}"
    return cost


def timed(command: list[str], pictures: int, also: dict[str, str]) -> Cost:
    """What a command takes that stores so many pictures."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=900, env=os.environ | also)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(pictures / seconds, 1000 * busy / pictures)


if __name__ == "__main__":
    main()
