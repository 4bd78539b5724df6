"""Is anything lost, doubled or half-read when a run is killed?

A small site of drawn pictures is crawled, scored, decided, de-duplicated and published once, without a kill. Then each of the five steps is
killed (SIGKILL to its whole process group) at ten moments drawn uniformly over the time that the step took, with a fixed seed, each in a
copy of the home as it was before the step. After every kill a reader of its own looks at the home: every manifest must be valid, all its
files there with the digests it states, and every Parquet file and tar must open. Then the step runs again to its end, the reader looks
again, and what the step made is compared with the run that was not killed, row by row: lost keys, doubled keys, other contents. The first
home of each step goes on through all later steps, so that it is killed in every step before its published set is compared.

    python benchmarks/kills.py            # a home in a folder
    python benchmarks/kills.py --s3       # a home in a bucket of a moto server (needs moto[s3]); the reader has a cache of its own
"""

import argparse
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyarrow.parquet import read_table

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import file_digest, read_manifest
from unclip_pairs.store import Store

HERE = Path(__file__).parent
STEPS = ("crawl", "score", "decide", "dedupe", "publish")
# what a step makes: Parquet files, with the columns that two crawls of one site share
MADE = {
    "crawl": ("crawl/kills/rows",),
    "score": tuple(f"features/kills/{name}" for name in ("picture", "quality", "caption", "wording", "safety")),
    "decide": ("verdicts/rule", "verdicts/safety", "features/agreement"),
    "dedupe": ("embeddings/c010c010/kills", "verdicts/duplicate", "verdicts/final"),
    "publish": (),
}
CRAWLED = ["key", "url", "caption", "status", "sha256", "width", "height"]
BUCKET = "kills"
Rows = list[tuple[str, str]]


@dataclass
class Place:
    """Where the homes of one run lie: folders, or prefixes of a bucket."""

    root: Path
    endpoint: str | None
    counter: Iterator[int] = field(default_factory=itertools.count)

    def address(self, home: str, cache: str | None = None) -> str:
        """What a program is told; the cache is the machine it runs on."""
        if self.endpoint is None:
            return str(self.root / home)
        return f"s3://{BUCKET}/{home}?endpoint={self.endpoint}&cache={self.root / (cache or home)}"

    def reader(self, home: str) -> Store:
        """The home as another machine sees it, which has no file of it yet."""
        return open_store(self.address(home, f"reader-{next(self.counter)}"))

    def copy(self, home: str, to: str) -> None:
        """Another home with the same files."""
        if self.endpoint is None:
            shutil.copytree(self.root / home, self.root / to)
            return
        client = _client(self.endpoint)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{home}/"):
            for found in page.get("Contents", []):
                name = f"{to}/{found['Key'].removeprefix(f'{home}/')}"
                client.copy_object(Bucket=BUCKET, Key=name, CopySource={"Bucket": BUCKET, "Key": found["Key"]})


def _client(endpoint: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


@dataclass
class Counts:
    """What was counted over all kills."""

    kills: int = 0
    lost: int = 0
    doubled: int = 0
    changed: int = 0
    half_read: list[str] = field(default_factory=list)

    def compare(self, found: Rows, wanted: Rows) -> None:
        """Counts keys that are not there, there twice, or there with other contents."""
        keys, known = Counter(key for key, _ in found), dict(wanted)
        self.lost += len(known.keys() - keys.keys())
        self.doubled += sum(number - 1 for number in keys.values()) + len(keys.keys() - known.keys())
        self.changed += sum(known.get(key, row) != row for key, row in found)


@contextmanager
def first_line_of(command: list[str]) -> Iterator[str]:
    """The first line that a server says, while it runs."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def start(place: Place, home: str, step: str, seed: str) -> subprocess.Popen[str]:
    """The step in a process group of its own, at the moment when its work begins."""
    command = [sys.executable, str(HERE / "steps" / "step.py"), place.address(home), step, *([seed] if step == "crawl" else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n", f"{step} did not begin"
    return process


def run(place: Place, home: str, step: str, seed: str) -> float:
    """Runs the step to its end; gives the seconds of its work."""
    with start(place, home, step, seed) as process:
        began = time.monotonic()
        code = process.wait(timeout=300)
    assert code == 0, f"{step} ended with {code}"
    return time.monotonic() - began


def kill(place: Place, home: str, step: str, seed: str, moment: float) -> bool:
    """Whether the step was still at work at the moment of its kill."""
    with start(place, home, step, seed) as process:
        time.sleep(moment)
        at_work = process.poll() is None
        if at_work:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return at_work


def broken(store: Store) -> list[str]:
    """What a reader must not meet: a manifest or a file that is not whole, or that is not what its manifest says."""
    found = list[str]()
    for name in store.names():
        try:
            if name.endswith(".json") and isinstance(value := store.read_json(name), dict) and {"kind", "files"} <= value.keys():
                found += [f"{file}, by {name}" for file in _not_as_stated(store, name)]
            elif name.endswith(".parquet"):
                read_table(store.path(name))
            elif name.endswith(".tar"):
                with tarfile.open(store.path(name), "r:") as tar:
                    tar.getmembers()
        except (OSError, ValueError, UserError, tarfile.TarError) as error:  # pyarrow's errors are among them
            found.append(f"{name}: {error}")
    return found


def _not_as_stated(store: Store, name: str) -> list[str]:
    manifest = read_manifest(store, name)
    assert manifest is not None
    return [file for file, digest in manifest.files.items() if not store.exists(file) or file_digest(store.path(file)) != digest]


def made(store: Store, step: str) -> Rows:
    """Key and contents of every row and every sample that a step made."""
    rows: Rows = []
    for name in MADE[step]:
        table = read_table(store.path(f"{name}.parquet"), columns=CRAWLED if step == "crawl" else None)
        rows += [(f"{name} {row['key']}", repr(row)) for row in table.to_pylist()]
    folder = {"crawl": "crawl/", "publish": "datasets/"}.get(step)
    for name in [name for name in store.names(folder) if name.endswith(".tar")] if folder else []:
        with tarfile.open(store.path(name), "r:") as tar:
            for member in tar:
                # a crawl's sidecar states when the picture was fetched, which no two crawls share
                if (data := tar.extractfile(member)) is not None and not (step == "crawl" and member.name.endswith(".json")):
                    rows.append((f"{step} {member.name}", hashlib.sha256(data.read()).hexdigest()))
    return rows


def run_whole(place: Place, seed: str) -> tuple[dict[str, float], dict[str, Rows]]:
    """All steps without a kill: seconds and contents of each step. The homes `before-STEP` are left for the kills."""
    seconds, whole, home = dict[str, float](), dict[str, Rows](), "start"
    if place.endpoint is None:
        (place.root / home).mkdir()
    for step in STEPS:
        before = f"before-{step}"
        place.copy(home, before)
        if step == "decide":
            run(place, before, "older", seed)
        place.copy(before, home := f"after-{step}")
        seconds[step] = run(place, home, step, seed)
        store = place.reader(home)
        assert broken(store) == [], broken(store)
        whole[step] = made(store, step)
        print(f"{step}: {seconds[step]:.2f} s, {len(whole[step])} rows and files", flush=True)
    return seconds, whole


def trial(place: Place, counts: Counts, step: str, before: str, home: str, seed: str, moment: float) -> str:
    """One kill, what a reader sees then, and the run to the end, in the home that is given back. A step that was quicker than before is
    begun again in another copy and killed earlier."""
    place.copy(before, home)
    tries = 0
    while not kill(place, home, step, seed, moment * 0.8**tries):
        tries, home = tries + 1, f"{home}-again"
        place.copy(before, home)
    counts.kills += 1
    counts.half_read += broken(place.reader(home))
    run(place, home, step, seed)
    counts.half_read += broken(place.reader(home))
    return home


def kill_all(place: Place, seed: str, per_step: int, seconds: dict[str, float], whole: dict[str, Rows]) -> Counts:
    """All kills of all steps."""
    counts, draw, carried = Counts(), random.Random(0), "before-crawl"
    for step in STEPS:
        if step == "decide":
            run(place, carried, "older", seed)
        following = ""
        for number, moment in enumerate([draw.uniform(0, seconds[step]) for _ in range(per_step)]):
            home = trial(place, counts, step, f"before-{step}" if number else carried, f"{step}-{number}", seed, moment)
            counts.compare(made(place.reader(home), step), whole[step])
            following = following or home
        carried = following
        print(f"{step}: {counts}", flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--s3", action="store_true", help="homes in a bucket of a moto server")
    parser.add_argument("--per-step", type=int, default=10, help="kills of each of the five steps")
    parser.add_argument("--pictures", type=int, default=80)
    options = parser.parse_args()
    servers = [str(HERE / "sites" / "pictures.py"), str(options.pictures)], [str(HERE / "sites" / "bucket.py"), BUCKET]
    with tempfile.TemporaryDirectory() as folder, first_line_of(servers[0]) as seed:
        if not options.s3:
            report("", kill_all_in(Place(Path(folder), None), seed, options.per_step))
            return
        os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
        with first_line_of(servers[1]) as endpoint:
            report("_s3", kill_all_in(Place(Path(folder), endpoint), seed, options.per_step))


def kill_all_in(place: Place, seed: str, per_step: int) -> Counts:
    seconds, whole = run_whole(place, seed)
    return kill_all(place, seed, per_step, seconds, whole)


def report(where: str, counts: Counts) -> None:
    for sentence in counts.half_read:
        print(f"half-read: {sentence}")
    print(f"figure kills{where} {counts.kills}")
    print(f"figure kills{where}_lost {counts.lost}")
    print(f"figure kills{where}_doubled {counts.doubled}")
    print(f"figure kills{where}_changed {counts.changed}")
    print(f"figure kills{where}_half_read {len(counts.half_read)}")


if __name__ == "__main__":
    main()
