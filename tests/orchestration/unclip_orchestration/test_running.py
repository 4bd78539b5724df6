"""Tests of how jobs are run from a command line: alone in a home, remembered after a kill, watched while they run."""

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest
from rich.console import Console

from unclip_assets.reporting.timing import ASSETS_PER_STEP, Timer
from unclip_orchestration.demo import one_story
from unclip_orchestration.memory import gauged
from unclip_orchestration.progress import PlainLines, lines
from unclip_orchestration.running import PROCESS_TAG, alone, bury, instance_at
from unclip_orchestration.user_errors import is_interruption, mistake, user_error
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store

HOLD = """
import sys, time
from pathlib import Path
from unclip_orchestration.running import alone
with alone(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_second_run_in_the_same_home_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "in\n"
        with pytest.raises(UserError, match="in use"), alone(tmp_path):
            pass
        first.kill()
        first.wait()
        with alone(tmp_path):
            pass


def test_a_run_that_was_killed_is_reported_as_failed_and_others_are_left_alone(tmp_path: Path) -> None:
    with instance_at(tmp_path) as instance:
        ours = instance.create_run_for_job(job_def=one_op(), tags={PROCESS_TAG: "1"}, status=dg.DagsterRunStatus.STARTED)
        theirs = instance.create_run_for_job(job_def=one_op(), status=dg.DagsterRunStatus.STARTED)
        bury(instance)
        statuses = [instance.get_run_by_id(run.run_id).status for run in (ours, theirs)]  # type: ignore[union-attr]
    assert statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED]


def test_a_home_tells_one_story(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for _ in range(2):
        one_story(store, "size", "smoke")
    with pytest.raises(UserError, match="another size \\(smoke, not full\\); set UNCLIP_HOME"):
        one_story(store, "size", "full")


def one_op() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def one() -> None:
        nothing()

    return one


def test_a_users_mistake_is_found_below_whatever_wraps_it() -> None:
    try:
        try:
            raise UserError("the list is broken")
        except UserError as error:
            raise RuntimeError("step failed") from error
    except RuntimeError as error:
        assert str(user_error(error)) == "the list is broken"
        assert mistake(error) == "the list is broken"
    assert mistake(RuntimeError("a bug of ours")) is None


def test_errors_that_name_each_other_as_their_cause_are_looked_at_once() -> None:
    one, other = RuntimeError("one"), KeyboardInterrupt()
    one.__context__, other.__context__ = other, one
    assert mistake(one) is None
    assert is_interruption(one)


def test_a_full_disk_is_told_whoever_met_it() -> None:
    assert "disk is full" in (mistake(OSError(28, "No space left on device", "/x/y")) or "")
    assert "disk is full" in (mistake(RuntimeError("(sqlite3.OperationalError) database or disk is full")) or "")


def test_an_act_is_told_once_when_its_last_share_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    with lines(Console(force_terminal=False)) as listener:
        assert isinstance(listener, PlainLines)
        for _ in range(ASSETS_PER_STEP["decide"]):
            with Timer(listener).step("decide") as step:
                step.progress(3, 10, "rows")
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said] == ["decide", "decide"]
    assert said[-1].endswith("3/10 rows")
    assert listener.times.seconds["decide"] >= 0


def test_live_lines_tell_the_same_story() -> None:
    console = Console(force_terminal=True, width=100, record=True)
    with lines(console) as listener:
        for act in ("crawl", "clip"):
            with Timer(listener).step(act) as part:
                part.progress(1, 2, "half")
    shown = console.export_text()
    assert "crawl" in shown and "half" in shown


def test_the_memory_of_children_is_counted() -> None:
    with gauged() as gauge:
        child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(3.5,))
        child.start()
        time.sleep(2.5)
        child.kill()
        child.join()
    assert gauge.peak_bytes > psutil.Process().memory_info().rss * 0.5
    assert gauge.peak_mb > 20
