"""What does a crawl do when every host is out to harm it? `sites/hostile_web.py` does so in every known way; each address must end as a row
with its reason, the batch before its deadline, in less than a gigabyte of memory.

`python benchmarks/hostile.py` takes about half a minute. Names are answered by a stub inside the crawl's process, which refuses to connect
to anything but loopback; of this machine's own ports the crawl may reach only those of the hostile hosts (`--loopback-host`).
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from pyarrow.parquet import read_table

SITE = Path(__file__).parent / "sites/hostile_web.py"
sys.path.insert(0, str(SITE.parent))
import hostile_web as site  # noqa: E402  # pyright: ignore[reportMissingImports]  # found beside this script

DEADLINE_S = 90.0


def main() -> None:
    numbers = list(range(len(site.CASES)))
    with tempfile.TemporaryDirectory() as temporary, site.web(Path(temporary), numbers):
        seconds, peak, rows = crawl(Path(temporary), numbers)
    wrong = [number for number in numbers if rows[site.address(number)]["status"] not in site.CASES[site.NAMES[number]][2].split(" or ")]
    for number in numbers:
        row = rows[site.address(number)]
        print(f"{'WRONG ' if number in wrong else ''}{site.NAMES[number]:42} {row['status']:17} {row['detail'][:90]}")
    print(f"figure hostile_cases {len(numbers)} cases")
    print(f"figure hostile_rows_with_another_reason {len(wrong)} rows")
    print(f"figure hostile_seconds {seconds:.1f} s of {DEADLINE_S:g}")
    print(f"figure hostile_peak_memory {peak / 2**20:.0f} MiB")


def crawl(folder: Path, numbers: list[int]) -> tuple[float, int, dict[str, dict[str, Any]]]:
    """Seconds, the largest resident memory in bytes, and the rows by address."""
    (folder / "list.csv").write_text("url,caption\n" + "".join(f"{site.address(number)},a picture\n" for number in numbers))
    command = [sys.executable, str(SITE), "--store", str(folder / "home"), "--batch", "a", "--contact", "bench@example.org"]
    command += [
        "--list",
        str(folder / "list.csv"),
        "--delay-s",
        "0.1",
        "--timeout-s",
        "5",
        "--retries",
        "0",
        "--deadline-s",
        str(DEADLINE_S),
    ]
    command += [part for place in site.allowed() for part in ("--loopback-host", place)]
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"SSL_CERT_FILE": site.trusted(folder)})
    sizes = [0]
    watcher = threading.Thread(target=sample, args=(process, sizes))
    watcher.start()
    assert process.wait(DEADLINE_S + 60) == 0
    watcher.join()
    seconds = time.monotonic() - begun
    return seconds, max(sizes), {row["url"]: row for row in read_table(folder / "home/crawl/a/rows.parquet").to_pylist()}


def sample(process: "subprocess.Popen[bytes]", sizes: list[int]) -> None:
    """Notes the process's resident memory twenty times a second until it ends."""
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            sizes.append(watched.memory_info().rss)
        except psutil.Error:
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main()
