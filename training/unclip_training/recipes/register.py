"""Register of the recipes: every run we stand behind, by its name.

A recipe is a function that gives the whole run; its docstring says where the numbers come from, what it costs and what to expect. A stage
that is conditioned on CLIP needs the CLIP recipe of its own size.
"""

from collections.abc import Callable

from unclip_pairs.errors import UserError
from unclip_training.config import AnyRun
from unclip_training.recipes import paper, small, tiny

RECIPES: dict[str, Callable[[], AnyRun]] = {
    recipe.__name__: recipe
    for recipe in (
        tiny.clip_tiny,
        tiny.judge_tiny,
        tiny.prior_tiny,
        tiny.decoder_tiny,
        tiny.upsampler_256_tiny,
        tiny.upsampler_1024_tiny,
        small.clip_small,
        small.prior_small,
        small.decoder_small,
        small.upsampler_256_small,
        small.upsampler_1024_small,
        paper.clip_paper,
        paper.prior_paper,
        paper.decoder_paper,
        paper.upsampler_256_paper,
        paper.upsampler_1024_paper,
    )
}


def recipe_named(name: str) -> AnyRun:
    """The run of the recipe of that name; `UserError` when there is none."""
    if name not in RECIPES:
        raise UserError(f"recipe {name!r} is unknown; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()
