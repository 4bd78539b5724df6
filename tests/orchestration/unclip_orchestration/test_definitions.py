"""Tests of what Dagster loads: complete, light, quick, and stopped until somebody clicks."""

import ast
import graphlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import dagster as dg
import pytest

from unclip_assets.checks import ALL as CHECKS
from unclip_assets.reporting.timing import ASSETS_PER_STEP
from unclip_orchestration.definitions import MODULES, defs

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "lightning", "clip_retrieval", "mlflow", "onnxruntime", "faiss", "scrapy")
STORY = [
    *("starter_site", "page_sources", "raw_shards", "picture_features", "caption_features", "rule_verdicts", "safety_features"),
    "face_features",
    *("caption_agreement", "safety_verdicts", "clip_model", "clip_embeddings", "search_index", "duplicate_verdicts", "training_shards"),
    *("data_card", "prior_model", "decoder_model", "upsampler_256_model", "upsampler_1024_model", "judge_model", "bundle"),
    *("evaluation", "regurgitation_report", "release_candidate", "champion"),
]


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def assets() -> list[dg.AssetsDefinition]:
    return [value for module in MODULES for value in vars(module).values() if isinstance(value, dg.AssetsDefinition)]


def test_the_definitions_load_within_five_seconds_and_import_nothing_heavy() -> None:
    script = f"""
import sys, time
began = time.process_time()
from unclip_orchestration.definitions import defs
defs().get_repository_def().load_all_definitions()
print(time.process_time() - began, [name for name in {HEAVY!r} if name in sys.modules])
"""
    answers = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert all(answer.split(maxsplit=1)[1].strip() == "[]" for answer in answers), answers
    # processor seconds, which other work on the machine does not stretch; the second look, for the first may have to compile every module
    assert float(answers[1].split()[0]) <= 5.0


def test_every_noun_of_the_story_is_an_asset(definitions: dg.Definitions) -> None:
    keys = definitions.resolve_asset_graph().get_all_asset_keys()
    assert {key.to_user_string() for key in keys} == set(STORY)


def test_every_asset_says_what_it_is_and_who_owns_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for node in graph.asset_nodes:
        assert node.description and len(node.description) > 30, node.key
        assert node.group_name != "default", node.key
        assert node.owners and all(owner.startswith("team:") for owner in node.owners), node.key
        assert node.kinds, node.key


def test_the_lineage_of_the_groups_reads_from_left_to_right(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    groups = {node.key: node.group_name for node in graph.asset_nodes}
    before: dict[str, set[str]] = {name: set() for name in groups.values()}
    for node in graph.asset_nodes:
        before[groups[node.key]] |= {groups[key] for key in node.parent_keys} - {groups[node.key]}
    order = list(graphlib.TopologicalSorter(before).static_order())  # raises CycleError where a group leads back
    assert order == ["crawl", "rules", "safety", "clip", "embed", "duplicates", "publish", "train", "evaluate", "release"]


def test_an_asset_is_at_most_twenty_five_lines() -> None:
    for module in MODULES:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno + 1 <= 25, node.name


def test_every_check_blocks_what_lies_downstream() -> None:
    specs = [spec for check in CHECKS for spec in check.check_specs]
    assert len(specs) >= 12
    assert [spec.name for spec in specs if not spec.blocking] == []


def test_the_steps_have_as_many_parts_as_assets_that_time_themselves() -> None:
    source = textwrap.dedent("\n".join(inspect.getsource(module) for module in MODULES))
    timed = {step: source.count(f'timer.step("{step}")') + source.count(f'trained(context, "{step}"') for step in ASSETS_PER_STEP}
    assert timed == ASSETS_PER_STEP


def test_jobs_schedules_and_sensors_are_there_and_stopped(definitions: dg.Definitions) -> None:
    jobs = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}
    assert jobs == {"starter", "crawl", "curate", "train", "release", "everything"}
    schedules = list(definitions.get_repository_def().schedule_defs)
    sensors = list(definitions.get_repository_def().sensor_defs)
    assert {schedule.name for schedule in schedules} == {"nightly_crawl", "weekly_training"}
    assert {sensor.name for sensor in sensors} == {"new_pairs", "champion_moved", "decisions"}
    assert all(schedule.default_status == dg.DefaultScheduleStatus.STOPPED for schedule in schedules)
    assert all(sensor.default_status == dg.DefaultSensorStatus.STOPPED for sensor in sensors)


def test_everything_runs_every_asset_but_the_starter_corpus(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("everything")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == set(STORY) - {"starter_site"}


@pytest.mark.slow
def test_dagster_finds_the_definitions_from_the_root_without_flags(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("dagster")), "definitions", "validate"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "UNCLIP_HOME": str(tmp_path)}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "Validation successful for code location unclip_orchestration.definitions" in answer.stderr + answer.stdout
