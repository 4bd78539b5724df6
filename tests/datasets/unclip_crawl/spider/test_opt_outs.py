"""Tests of the table of opt-outs: real hosts on loopback say no in every known way, and nothing that they forbid is stored."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from pyarrow.parquet import read_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_pairs.home import open_store
from unclip_pairs.shards import read_shard, shard_names
from unclip_pairs.store import Store


def _site(name: str) -> ModuleType:
    """A site of the benchmarks, which is what their figures are measured on."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[4] / f"benchmarks/sites/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


opt_outs = _site("opt_outs")
CASES = opt_outs.CASES
Crawled = tuple[Store, dict[str, dict[str, Any]], Any]


def settings_of(folder: Path, **changes: Any) -> CrawlSettings:
    (folder / "list.csv").write_text("url,caption\n" + "".join(f"{url},a picture\n" for url in opt_outs.listed()))
    where = {"batch": "a", "contact": "tests@example.org", "seeds": tuple(opt_outs.seeds()), "lists": (str(folder / "list.csv"),)}
    quick = {"allow_loopback": True, "delay_s": 0, "timeout_s": 1.5, "retries": 0, "deadline_s": 60.0}
    return CrawlSettings(**where | quick | changes)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    folder = tmp_path_factory.mktemp("opt-outs")
    store = open_store(folder / "home")
    with opt_outs.web() as web:
        crawl(store, settings_of(folder))
        yield store, {row["url"]: row for row in read_table(store.path("crawl/a/rows.parquet")).to_pylist()}, web


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_every_way_of_saying_no_is_heard(crawled: Crawled, number: int) -> None:
    row = crawled[1][opt_outs.address(number)]
    assert (row["status"], row["detail"]) == (CASES[number].status, row["detail"])


def test_nothing_that_a_site_forbids_is_stored(crawled: Crawled) -> None:
    store, rows, _ = crawled
    stored = {sample["__key__"] for name in shard_names(store, "crawl/a/shard-") for sample in read_shard(store, name)}
    allowed = {rows[opt_outs.address(number)]["key"] for number, case in enumerate(CASES) if case.status == "ok"}
    assert stored == allowed
    assert len(CASES) - len(allowed) >= 40


def test_a_picture_that_robots_txt_forbids_is_not_even_asked_for(crawled: Crawled) -> None:
    denied = [number for number, case in enumerate(CASES) if case.status == "robots_denied" and "/p/x.png" not in case.others]
    assert [CASES[number].name for number in denied if any(crawled[2].asked[number, path] for path in ("/p/x.png", "/q/x.png"))] == []
    assert max(crawled[2].asked[number, "/robots.txt"] for number in denied if number and "circle" not in CASES[number].name) == 1


def test_the_pictures_of_the_table_can_be_told_apart() -> None:
    assert len({opt_outs.picture(number) for number in range(len(CASES))}) == len(CASES) < 250
    assert Image.MAX_IMAGE_PIXELS is not None
