"""Evaluation assets: what the bundle can do, and whether it repeats what it has seen."""

from collections.abc import Mapping

import dagster as dg
from pydantic import Field

from unclip_assets import candidates
from unclip_assets.bundle import bundle
from unclip_assets.clip import RESEARCH
from unclip_assets.reporting import previews, set_figures
from unclip_assets.reporting.timing import Timer
from unclip_assets.resources import CurationPolicy, Home, policy_files
from unclip_assets.train import judge_model
from unclip_evaluation.figures import main_figures


class EvaluationConfig(dg.Config):
    """How many pictures are painted for the figures."""

    num_prompts: int = Field(default=200, description="training captions, and as many prompts in own words, one picture each")
    num_composed: int = Field(default=100, description="prompts of every other set (attributes, held-out, seen beside them, scenes)")
    num_diverse: int = Field(default=24, description="prompts that are painted with four seeds each")


@dg.asset(group_name="evaluate", kinds={"pytorch"}, owners=RESEARCH, deps=[bundle, judge_model])
def evaluation(config: EvaluationConfig, home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The bundle's figures on every set of prompts, beside real pictures, the mean of others and the nearest training pictures."""
    store = home.store()
    with timer.step("evaluate") as step:
        numbers = candidates.Numbers(num_prompts=config.num_prompts, num_composed=config.num_composed, num_diverse=config.num_diverse)
        figures = candidates.evaluated(store, numbers, step.progress, policy_files(home, policy))
    sets = previews.table(set_figures.COLUMNS, set_figures.rows(figures))
    main = previews.measured("figures", main_figures(figures))
    return previews.made(step, None, sets=sets, **main, **candidates.pictures(store))


@dg.asset(group_name="evaluate", kinds={"numpy"}, owners=RESEARCH, deps=[evaluation])
def regurgitation_report(home: Home, policy: CurationPolicy) -> previews.Materialized:
    """How near the painted pictures are to their nearest training pictures, with the closest pairs to look at."""
    store = home.store()
    shown = {name: value for name, value in candidates.pictures(store).items() if name.startswith("closest")}
    nearest = candidates.figures(store, policy_files(home, policy))["nearest_train"]
    assert isinstance(nearest, Mapping), "an evaluation gives mean and quantiles of the nearest training picture"
    return dg.MaterializeResult(metadata={**previews.measured("nearest_train", nearest, "nearest_train."), **shown})
