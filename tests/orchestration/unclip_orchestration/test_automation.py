"""Tests of what runs by itself once it is switched on: which runs are asked for, and when none is."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from unclip_assets.crawl import raw_shards
from unclip_assets.partitions import CRAWL_BATCHES
from unclip_assets.resources import Home
from unclip_assets.settings import Environment, default_tracking_uri, read_environment
from unclip_orchestration.definitions import defs
from unclip_orchestration.running import instance_at
from unclip_orchestration.schedules import nightly_crawl
from unclip_orchestration.sensors import champion_moved, new_pairs
from unclip_pairs.errors import UserError

NIGHT = datetime(2026, 1, 2, 2, tzinfo=UTC)


def asked(answer: object) -> list[dg.RunRequest]:
    """The runs among what a schedule or a sensor answers."""
    answers = list(answer) if isinstance(answer, Iterable) else [answer]
    return [one for one in answers if isinstance(one, dg.RunRequest)]


def test_every_night_each_known_batch_is_crawled_once(tmp_path: Path) -> None:
    with instance_at(tmp_path) as instance:
        with dg.build_schedule_context(instance=instance, scheduled_execution_time=NIGHT) as context:
            assert asked(nightly_crawl(context)) == []
        instance.add_dynamic_partitions(CRAWL_BATCHES, ["museum", "archive"])
        with dg.build_schedule_context(instance=instance, scheduled_execution_time=NIGHT) as context:
            runs = asked(nightly_crawl(context))
    assert {run.partition_key for run in runs} == {"museum", "archive"}
    assert len({run.run_key for run in runs}) == 2


def test_a_crawled_batch_is_curated() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(raw_shards.key, partition="museum"))
        with dg.build_sensor_context(instance=instance, definitions=defs()) as context:
            assert [run.partition_key for run in asked(new_pairs(context))] == ["museum"]


@pytest.mark.slow
def test_a_home_without_a_champion_moves_nothing(tmp_path: Path) -> None:
    home = Home(root=str(tmp_path), tracking_uri=default_tracking_uri(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance, resources={"home": home}) as context:
        tick = champion_moved.evaluate_tick(context)
    assert tick.run_requests == [] and "not moved" in (tick.skip_message or "")


def test_the_environment_is_read_with_its_defaults_and_its_limits(tmp_path: Path) -> None:
    read = read_environment({"UNCLIP_HOME": str(tmp_path)})
    assert read == Environment(deployment="local", home=tmp_path, tracking_uri=default_tracking_uri(tmp_path), size="tiny")
    assert read_environment({"UNCLIP_ENV": "production"}).size == "paper"
    assert read_environment({"UNCLIP_ENV": "production", "UNCLIP_SIZE": "small"}).size == "small"
    with pytest.raises(UserError, match="UNCLIP_SIZE is 'huge'"):
        read_environment({"UNCLIP_SIZE": "huge"})
