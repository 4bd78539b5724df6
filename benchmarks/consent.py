"""How many pictures does a crawl store that a site forbids? `sites/opt_outs.py` says no in every known way; the answer must be 0.

Every case is a host of its own on loopback. Also printed: how many of the pictures that nothing forbids were stored.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from pyarrow.parquet import read_table

from unclip_pairs.home import open_store
from unclip_pairs.shards import read_shard, shard_names

sys.path.insert(0, str(Path(__file__).with_name("sites")))
import opt_outs  # pyright: ignore[reportMissingImports]  # found beside this script


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, opt_outs.web():
        folder = Path(temporary)
        (folder / "list.csv").write_text("url,caption\n" + "".join(f"{url},a picture\n" for url in opt_outs.listed()))
        command = [sys.executable, "-m", "unclip_crawl", "--store", str(folder / "home"), "--batch", "a", "--contact", "bench@example.org"]
        command += ["--list", str(folder / "list.csv"), "--allow-loopback", "--delay-s", "0", "--timeout-s", "1.5", "--retries", "0"]
        command += [part for seed in opt_outs.seeds() for part in ("--seed", seed)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        store = open_store(folder / "home")
        rows = {row["url"]: row for row in read_table(store.path("crawl/a/rows.parquet")).to_pylist()}
        stored = {sample["__key__"] for name in shard_names(store, "crawl/a/shard-") for sample in read_shard(store, name)}
    forbidden = [number for number, case in enumerate(opt_outs.CASES) if case.status != "ok"]
    free = [number for number, case in enumerate(opt_outs.CASES) if case.status == "ok"]
    ends = {number: rows[opt_outs.address(number)] for number in range(len(opt_outs.CASES))}
    for number, row in ends.items():
        print(f"{opt_outs.CASES[number].name:60} {row['status']:16} {row['detail']}")
    print(f"figure forbidden_cases {len(forbidden)} cases")
    print(f"figure forbidden_stored {sum(ends[number]['key'] in stored for number in forbidden)} pictures")
    print(f"figure allowed_not_stored {sum(ends[number]['key'] not in stored for number in free)} pictures of {len(free)}")


if __name__ == "__main__":
    main()
