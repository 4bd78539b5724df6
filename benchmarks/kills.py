"""Is anything lost, doubled or half-read when a run is killed?

A small site of drawn pictures is crawled, scored, decided, de-duplicated and published once, without a kill. Then each of the five acts is
killed (SIGKILL to its whole process group) at ten moments drawn uniformly over the time that the act took, with a fixed seed, each in a
copy of the home as it was before the act. After every kill a reader of its own looks at the home: every manifest must be valid, all its
files there with the digests it states, and every Parquet file and tar must open. Then the act runs again to its end, the reader looks
again, and what the act made is compared with the run that was not killed, row by row: lost keys, doubled keys, other contents. The first
home of each act goes on through all later acts, so that it is killed in every act before its published set is compared.

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
ACTS = ("crawl", "score", "decide", "dedupe", "publish")
# what an act makes: Parquet files, with the columns that two crawls of one site share
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
class Tally:
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
def said(command: list[str]) -> Iterator[str]:
    """The first line that a server says, while it runs."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def start(place: Place, home: str, act: str, seed: str) -> subprocess.Popen[str]:
    """The act in a process group of its own, at the moment when its work begins."""
    command = [sys.executable, str(HERE / "acts" / "act.py"), place.address(home), act, *([seed] if act == "crawl" else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n", f"{act} did not begin"
    return process


def run(place: Place, home: str, act: str, seed: str) -> float:
    """Runs the act to its end; gives the seconds of its work."""
    with start(place, home, act, seed) as process:
        began = time.monotonic()
        code = process.wait(timeout=300)
    assert code == 0, f"{act} ended with {code}"
    return time.monotonic() - began


def kill(place: Place, home: str, act: str, seed: str, moment: float) -> bool:
    """Whether the act was still at work at the moment of its kill."""
    with start(place, home, act, seed) as process:
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


def made(store: Store, act: str) -> Rows:
    """Key and contents of every row and every sample that an act made."""
    rows: Rows = []
    for name in MADE[act]:
        table = read_table(store.path(f"{name}.parquet"), columns=CRAWLED if act == "crawl" else None)
        rows += [(f"{name} {row['key']}", repr(row)) for row in table.to_pylist()]
    folder = {"crawl": "crawl/", "publish": "datasets/"}.get(act)
    for name in [name for name in store.names(folder) if name.endswith(".tar")] if folder else []:
        with tarfile.open(store.path(name), "r:") as tar:
            for member in tar:
                # a crawl's sidecar states when the picture was fetched, which no two crawls share
                if (data := tar.extractfile(member)) is not None and not (act == "crawl" and member.name.endswith(".json")):
                    rows.append((f"{act} {member.name}", hashlib.sha256(data.read()).hexdigest()))
    return rows


def tell(place: Place, seed: str) -> tuple[dict[str, float], dict[str, Rows]]:
    """The story without a kill: seconds and contents of each act. The homes `before-ACT` are left for the kills."""
    seconds, whole, home = dict[str, float](), dict[str, Rows](), "start"
    if place.endpoint is None:
        (place.root / home).mkdir()
    for act in ACTS:
        before = f"before-{act}"
        place.copy(home, before)
        if act == "decide":
            run(place, before, "older", seed)
        place.copy(before, home := f"after-{act}")
        seconds[act] = run(place, home, act, seed)
        store = place.reader(home)
        assert broken(store) == [], broken(store)
        whole[act] = made(store, act)
        print(f"{act}: {seconds[act]:.2f} s, {len(whole[act])} rows and files", flush=True)
    return seconds, whole


def trial(place: Place, tally: Tally, act: str, before: str, home: str, seed: str, moment: float) -> str:
    """One kill, what a reader sees then, and the run to the end, in the home that is given back. An act that was quicker than before is
    begun again in another copy and killed earlier."""
    place.copy(before, home)
    tries = 0
    while not kill(place, home, act, seed, moment * 0.8**tries):
        tries, home = tries + 1, f"{home}-again"
        place.copy(before, home)
    tally.kills += 1
    tally.half_read += broken(place.reader(home))
    run(place, home, act, seed)
    tally.half_read += broken(place.reader(home))
    return home


def kill_all(place: Place, seed: str, per_act: int, seconds: dict[str, float], whole: dict[str, Rows]) -> Tally:
    """All kills of all acts."""
    tally, draw, carried = Tally(), random.Random(0), "before-crawl"
    for act in ACTS:
        if act == "decide":
            run(place, carried, "older", seed)
        following = ""
        for number, moment in enumerate([draw.uniform(0, seconds[act]) for _ in range(per_act)]):
            home = trial(place, tally, act, f"before-{act}" if number else carried, f"{act}-{number}", seed, moment)
            tally.compare(made(place.reader(home), act), whole[act])
            following = following or home
        carried = following
        print(f"{act}: {tally}", flush=True)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--s3", action="store_true", help="homes in a bucket of a moto server")
    parser.add_argument("--per-act", type=int, default=10, help="kills of each of the five acts")
    parser.add_argument("--pictures", type=int, default=80)
    options = parser.parse_args()
    servers = [str(HERE / "sites" / "pictures.py"), str(options.pictures)], [str(HERE / "sites" / "bucket.py"), BUCKET]
    with tempfile.TemporaryDirectory() as folder, said(servers[0]) as seed:
        if not options.s3:
            report("", kill_all_in(Place(Path(folder), None), seed, options.per_act))
            return
        os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
        with said(servers[1]) as endpoint:
            report("_s3", kill_all_in(Place(Path(folder), endpoint), seed, options.per_act))


def kill_all_in(place: Place, seed: str, per_act: int) -> Tally:
    seconds, whole = tell(place, seed)
    return kill_all(place, seed, per_act, seconds, whole)


def report(where: str, tally: Tally) -> None:
    for sentence in tally.half_read:
        print(f"half-read: {sentence}")
    print(f"figure kills{where} {tally.kills}")
    print(f"figure kills{where}_lost {tally.lost}")
    print(f"figure kills{where}_doubled {tally.doubled}")
    print(f"figure kills{where}_changed {tally.changed}")
    print(f"figure kills{where}_half_read {len(tally.half_read)}")


if __name__ == "__main__":
    main()
