"""Tests of the crawl against hosts out to harm it: the hostile web of the benchmarks, but for what takes long to unpack."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pyarrow.parquet import read_table

from unclip_crawl.settings import CrawlSettings
from unclip_pairs.errors import UserError

SITE = Path(__file__).parents[4] / "benchmarks/sites/hostile_web.py"


def _site() -> Any:
    spec = importlib.util.spec_from_file_location("hostile_web", SITE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hostile_web"] = module
    spec.loader.exec_module(module)
    return module


site = _site()
HEAVY = ("bomb", "49 million", "endless body")
NUMBERS = [number for number, name in enumerate(site.NAMES) if not any(word in name for word in HEAVY)]


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "list.csv").write_text("url,caption\n" + "".join(f"{site.address(number)},a picture\n" for number in NUMBERS))
    command = [sys.executable, str(SITE), "--store", str(folder / "home"), "--batch", "a", "--contact", "tests@example.org"]
    command += ["--list", str(folder / "list.csv"), "--delay-s", "0.1", "--timeout-s", "3", "--retries", "0", "--deadline-s", "60"]
    command += [part for place in site.allowed() for part in ("--loopback-host", place)]
    with site.web(folder, NUMBERS):
        begun = time.monotonic()
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, timeout=120, env=os.environ | {"SSL_CERT_FILE": site.trusted(folder)}
        )
    rows = read_table(folder / "home/crawl/a/rows.parquet").to_pylist()
    return time.monotonic() - begun, {row["url"]: row for row in rows}


@pytest.mark.parametrize("number", NUMBERS, ids=[site.NAMES[number] for number in NUMBERS])
def test_every_way_to_harm_a_crawl_ends_as_a_row_with_its_reason(crawled: tuple[float, dict[str, Any]], number: int) -> None:
    row = crawled[1][site.address(number)]
    assert row["status"] in site.CASES[site.NAMES[number]][2].split(" or "), row["detail"]


def test_the_batch_ends_before_its_deadline(crawled: tuple[float, dict[str, Any]]) -> None:
    assert crawled[0] < 60 and len(crawled[1]) == len(NUMBERS)


def test_a_certificate_is_refused_for_what_is_wrong_with_it(crawled: tuple[float, dict[str, Any]]) -> None:
    details = {name: crawled[1][site.address(number)]["detail"] for number, name in enumerate(site.NAMES) if name.startswith("TLS")}
    assert "self-signed" in details["TLS: a good certificate of an unknown signer"]
    assert "expired" in details["TLS: expired"]
    assert "ostname mismatch" in details["TLS: another host's"]


@pytest.mark.parametrize("place", ["127.0.0.1", "localhost:80", "10.0.0.1:80", "127.0.0.1:http", "example.org:80"])
def test_only_an_address_of_this_machine_with_a_port_can_be_allowed(place: str) -> None:
    with pytest.raises(UserError, match="loopback_hosts"):
        CrawlSettings(batch="a", contact="a@example.org", folders=("f",), loopback_hosts=(place,))


def test_a_port_that_is_not_allowed_stays_refused() -> None:
    settings = CrawlSettings(batch="a", contact="a@example.org", folders=("f",), loopback_hosts=("127.0.0.1:8741", "[::1]:8741"))
    assert settings.why_refused("127.0.0.1", 8741) is None and settings.why_refused("::1", 8741) is None
    assert settings.why_refused("127.0.0.1", 22) and settings.why_refused("127.0.0.2", 8741)
