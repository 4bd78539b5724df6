"""Tests that whatever can be set of a crawl can be set everywhere: `unclip data crawl`, `python -m unclip_crawl` and the Dagster config are
made from `CrawlSettings`, and a batch keeps what it was given."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

from unclip_assets import crawl_sources
from unclip_assets.crawl import SourcesConfig
from unclip_crawl.__main__ import parser
from unclip_crawl.options import options
from unclip_crawl.settings import NOTE, CrawlSettings
from unclip_orchestration.cli import app
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.store import Store

FIELDS = [field.name for field in fields(CrawlSettings)]
HELP = {field.name: field.metadata[NOTE].help for field in fields(CrawlSettings)}
HALF_A_MINUTE: dict[str, Any] = {"contact": "me@example.org", "seeds": ["https://a.example/"], "timeout_s": 15.0, "retry_failed": True}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home")


def test_every_setting_has_a_help_that_ends_a_sentence() -> None:
    assert [name for name, text in HELP.items() if not text.endswith(".") or len(text) < 15] == []
    assert [option.name for option in options()] == FIELDS


def test_every_setting_is_an_option_of_the_command_of_the_module_and_of_the_config_with_the_same_help() -> None:
    group: Any = typer.main.get_command(app)
    command = {parameter.name: parameter for parameter in group.commands["data"].commands["crawl"].params if parameter.name != "help"}
    module = {action.dest: action for action in parser()._actions if action.dest in FIELDS}
    config = SourcesConfig.model_fields
    assert list(command) == list(module) == ["batch", *config] == FIELDS
    for option in options():
        assert option.flag in command[option.name].opts and option.flag in module[option.name].option_strings
        assert command[option.name].help == module[option.name].help == option.flag_help
        assert option.name == "batch" or config[option.name].description == option.help
        assert option.help.startswith(HELP[option.name]) and option.flag_help.startswith(option.help)


def test_a_batch_keeps_what_it_was_given_and_reads_what_earlier_versions_kept(store: Store) -> None:
    kept = crawl_sources.save(store, "a", HALF_A_MINUTE)
    assert kept == crawl_sources.load(store, "a") and (kept.batch, kept.timeout_s, kept.retry_failed) == ("a", 15.0, True)
    store.write_json("sources/old.json", {"contact": "me@example.org", "seeds": ["https://b.example/"], "delay_s": 2.0})
    old = crawl_sources.load(store, "old")
    assert (old.seeds, old.delay_s, old.stop_after_busy) == (("https://b.example/",), 2.0, 5)


def test_without_a_place_settings_change_what_is_kept_and_with_one_they_stand_for_themselves(store: Store) -> None:
    crawl_sources.save(store, "a", HALF_A_MINUTE)
    changed = crawl_sources.save(store, "a", {"deadline_s": 60.0, "timeout_s": None, "lists": []})
    assert (changed.seeds, changed.timeout_s, changed.deadline_s) == (("https://a.example/",), 15.0, 60.0)
    assert not changed.retry_failed, "what failed is tried again once, not in every run from now on"
    replaced = crawl_sources.save(store, "a", {"contact": "me@example.org", "folders": ["pictures"]})
    assert (replaced.seeds, replaced.folders, replaced.timeout_s) == ((), ("pictures",), 30.0)


def test_what_makes_no_sense_is_refused_before_it_is_kept(store: Store) -> None:
    with pytest.raises(UserError, match="retries 99 is out of range"):
        crawl_sources.save(store, "a", HALF_A_MINUTE | {"retries": 99})
    with pytest.raises(UserError, match="has no sources yet"):
        crawl_sources.save(store, "a", {"retries": 1})
    assert not store.exists("sources/a.json")


@pytest.mark.slow
def test_a_setting_of_the_command_reaches_the_crawl(store: Store, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.linear_gradient("L").save(tmp_path / "pictures" / "a.png")
    command = [sys.executable, "-m", "unclip_orchestration.cli", "--home", str(store.root), "data", "crawl", "--batch", "a"]
    given = ["--contact", "me@example.org", "--folder", "pictures", "--store-size", "32", "--no-allow-loopback"]
    subprocess.run([*command, *given], cwd=tmp_path, check=True, capture_output=True)
    settings, manifest = crawl_sources.load(store, "a"), store.read_json("crawl/a/manifest.json")
    assert settings.folders == (str(tmp_path / "pictures"),), "a path holds in another folder too"
    assert manifest["settings"]["store_size"] == settings.store_size == 32
    assert manifest["counts"]["ok"] == 1
