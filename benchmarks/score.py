"""How many pairs a second does each scorer measure on this machine, and all of them together?

Every scorer of the register is timed over one corpus: those of captions on one core, those of pictures with as many worker processes as
there are cores: loading and the start of the processes are part of it, as they are of a crawl batch; a second, warm run of a scorer
would measure nothing. Then all of them run over a fresh copy of the corpus in one go, where a picture is decoded once for all scorers
of pictures. There is no peer: no other project measures all of this.

`python benchmarks/score.py` draws its pictures; `--home var` takes those of a home's first crawl batch (the starter corpus after `make
demo`), with what the rule stage needs. An identity and an aesthetic probe are brought by `corpus/stand_ins.py`; drawn pictures show no
faces, so `identities` tells what looking for them costs, and `faces.py` what comparing one costs. `--rows 64` is a quick look, `--only
quality caption` times some. A scorer that cannot run here says why and is left out. Processor time, with decoding and the start of the
processes, stands beside the rates: on a busy machine compare that.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pyarrow.parquet import read_table

from unclip_curation.scorers import registry
from unclip_curation.scorers.runner import Derived, Scorer, score_together
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

sys.path.insert(0, str(Path(__file__).parent / "corpus"))
import stand_ins  # pyright: ignore[reportMissingImports]  # found beside this script

CAPTIONS = 20_000
BROUGHT = ("identities", "aesthetic")  # they need what an operator brings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=512, help="pairs to score")
    parser.add_argument("--home", type=Path, help="a home with a finished crawl; drawn pictures otherwise")
    parser.add_argument("--only", nargs="+", choices=list(registry.SCORERS), help="these scorers alone")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = [scorer for scorer in registry.SCORERS.values() if not options.only or scorer.name in options.only]
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "each"), Path(folder, "together")
        rows = write_corpus(one, options.rows, options.home)
        write_corpus(two, options.rows, options.home)
        ran = time_each(Store(one), chosen, rows, options.workers, Path(folder, "identities.key"))
        time_together(Store(two), ran, rows, options.workers)


def write_corpus(folder: Path, rows: int, home: Path | None) -> int:
    """How many pairs were written into the folder."""
    writer = Path(__file__).parent / "corpus" / "write.py"
    command = [sys.executable, str(writer), str(folder), "--rows", str(rows), *(("--home", str(home)) if home else ())]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def time_each(store: Store, chosen: Sequence[Scorer | Derived], rows: int, workers: int, key_file: Path) -> list[Scorer]:
    """Prints a figure per scorer; gives those that could run over pictures or captions."""
    ran: list[Scorer] = []
    chosen = sorted(chosen, key=lambda scorer: isinstance(scorer, Derived))  # they read what the others wrote
    for scorer in chosen:
        try:
            if scorer.name in BROUGHT and not store.exists("verdicts/rule.json"):
                stand_ins.bring(store, key_file)
            if isinstance(scorer, Scorer) and scorer.reads == "caption":
                print(f"figure score_{scorer.name} {caption_rate(store, scorer):.0f} captions/s/core", flush=True)
            else:
                began, before = time.perf_counter(), processor_seconds()
                measure(store, [scorer], workers)
                print(f"figure score_{scorer.name} {rows / (time.perf_counter() - began):.1f} pictures/s", flush=True)
                print(f"figure score_{scorer.name}_cpu {1000 * (processor_seconds() - before) / rows:.1f} ms/picture", flush=True)
        except UserError as error:
            print(f"{scorer.name} was left out: {error}")
            continue
        ran += [scorer] if isinstance(scorer, Scorer) else []
    return ran


def processor_seconds() -> float:
    """User and system time of this process and of its children that have ended: what other work on the machine does not change much."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def caption_rate(store: Store, scorer: Scorer) -> float:
    """Captions a second on one core, the model loaded: the corpus's captions, repeated until there are enough to time."""
    rows = read_table(store.path("crawl/a/rows.parquet"), columns=["key", "caption"]).to_pylist()
    samples = [{"__key__": row["key"], "txt": (row["caption"] or "").encode()} for row in rows]
    samples *= 1 + CAPTIONS // len(samples)
    score = scorer.load()
    began = time.perf_counter()
    score(samples)
    return len(samples) / (time.perf_counter() - began)


def measure(store: Store, chosen: Sequence[Scorer | Derived], workers: int) -> None:
    """Runs the scorers over every row, also those that would wait for a stage."""
    keys = set(read_table(store.path("crawl/a/rows.parquet"), columns=["key"])["key"].to_pylist())
    for scorer in chosen:
        if isinstance(scorer, Derived):
            scorer.run(store, "a")
    for reads in ("picture", "caption"):
        alike = [scorer for scorer in chosen if isinstance(scorer, Scorer) and scorer.reads == reads]
        if alike:
            score_together(store, "a", alike, keys, workers)


def time_together(store: Store, chosen: Sequence[Scorer], rows: int, workers: int) -> None:
    """Prints the figure of all scorers of pictures and captions in one go."""
    began = time.perf_counter()
    measure(store, chosen, workers)
    print(f"together: {', '.join(scorer.name for scorer in chosen)}")
    print(f"figure score_together {rows / (time.perf_counter() - began):.1f} pictures/s")


if __name__ == "__main__":
    main()
