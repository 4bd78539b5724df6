"""Crawl's own process: `python -m unclip_crawl --store DIR --batch NAME --contact WHO --seed URL`."""

import argparse
import gc
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

from unclip_crawl.options import options
from unclip_crawl.settings import CrawlSettings, settings_from_json
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store

COLLECT_AFTER = 50_000, 20, 1_000  # new objects between two collections, and how many of those make an older generation's turn


class WithoutPandas(MetaPathFinder):
    """pyarrow imports pandas at its first conversion when it is installed: seconds of work for nothing that a crawl uses."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Says that there is no pandas; leaves all other modules to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError("the crawl does without pandas", name=fullname)


def parser() -> argparse.ArgumentParser:
    """One flag for each field of `CrawlSettings`."""
    parser = argparse.ArgumentParser(
        "python -m unclip_crawl", description="Crawl image-text pairs into shards, politely; run it again to go on."
    )
    parser.add_argument("--store", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--settings", metavar="FILE", help="settings as JSON; '-' reads them from standard input, one line, and stops when that is closed"
    )
    for option in options():
        if option.kind is bool:
            parser.add_argument(option.flag, dest=option.name, action=argparse.BooleanOptionalAction, help=option.flag_help)
        else:
            action = "append" if option.is_several else "store"
            metavar = option.flag[2:].upper()
            parser.add_argument(option.flag, dest=option.name, action=action, type=option.kind, metavar=metavar, help=option.flag_help)
    return parser


def _settings(arguments: argparse.Namespace) -> CrawlSettings:
    given: dict[str, object] = {}
    if arguments.settings is not None:
        given = _settings_file(Path(arguments.settings))
    given |= {option.name: value for option in options() if (value := getattr(arguments, option.name)) is not None}
    return settings_from_json(given)


def _settings_file(path: Path) -> dict[str, object]:
    try:
        given = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"the settings file {path} cannot be read ({error}); write one JSON object") from error
    if not isinstance(given, dict):
        raise UserError(f"the settings file {path} holds {type(given).__name__}; write one JSON object")
    return given


def _say(value: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _report(done: int, total: int | None, message: str = "") -> None:
    _say({"done": done, "total": total, "message": message})


def main() -> int:
    """0 when the batch is finished, 2 for a user error (one sentence), 130 when stopped; progress goes to standard output as JSON lines."""
    sys.meta_path.insert(0, WithoutPandas())
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    from unclip_crawl.spider.run import Interrupted, run  # Scrapy is heavy; --help does without it

    try:
        arguments = parser().parse_args()
        has_parent = arguments.settings == "-"
        # a parent process has checked the sources, and sends what it found
        given = json.loads(sys.stdin.buffer.readline()) if has_parent else {}
        settings = settings_from_json(given["settings"]) if has_parent else _settings(arguments)
        gc.freeze()  # a crawl makes many objects and few cycles: looking through all of them all the time cost 4 % of its time
        gc.set_threshold(*COLLECT_AFTER)
        manifest = run(open_store(arguments.store), settings, _report, given.get("inputs"), sys.stdin.fileno() if has_parent else None)
    except UserError as error:
        _say({"error": str(error)})
        sys.stderr.write(f"{error}\n")
        return 2
    except Interrupted:
        sys.stderr.write("stopped; run the same command again to go on\n")
        return 130
    _report(int(manifest.counts["rows"]), int(manifest.counts["rows"]), f"{manifest.counts.get('ok', 0)} pictures stored")
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what was dropped at a deadline leaves connections and threads behind, which must not hold the end up
