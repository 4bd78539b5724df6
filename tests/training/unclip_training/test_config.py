"""Tests of runs as data: what manifests and checkpoints know them by."""

from dataclasses import replace

import pytest
import torch

from unclip_models.config import CompactDecoderConfig, EmbeddingRegressorConfig, PictureRegressorConfig
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_training.assembly import TrainingSite, assemble
from unclip_training.config import Pretraining
from unclip_training.data.batches import Sources
from unclip_training.data.pair_source import pairs_source
from unclip_training.fit import flat
from unclip_training.recipes.register import RECIPES
from unclip_training.recipes.tiny import decoder_tiny, prior_tiny


def test_settings_keep_the_names_that_manifests_hold() -> None:
    """A changed name would change every run's digest, so that finished trainings would be trained again."""
    first, decoder_run = prior_tiny(), decoder_tiny()
    pretraining = Pretraining(ratio=2.0, batch_size=8, lr=1e-3)
    assert isinstance(decoder_run.model, CompactDecoderConfig)
    with_regressor = replace(decoder_run.model, regressor=PictureRegressorConfig(width=8, depth=1, components=1024))
    prior_model = replace(first.model, regressor=EmbeddingRegressorConfig(width=4096, depth=1))
    prior = flat(replace(first, model=prior_model, pretraining=pretraining).settings())
    decoder = flat(replace(decoder_run, model=with_regressor, pretraining=pretraining).settings())
    assert (prior["model.guess.width"], prior["guessing.ratio"]) == ("4096", "2.0")
    assert (decoder["model.sketch.components"], decoder["sketching.ratio"]) == ("1024", "2.0")
    assert [name for name in prior | decoder if "regressor" in name or "pretraining" in name] == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_says_whether_it_needs_a_clip(recipe: str, shapes: Store) -> None:
    run, sources = RECIPES[recipe](), Sources(training=pairs_source(shapes, "v-shapes"))
    site = TrainingSite(shapes, sources, f"models/{run.stage}/probe", None)
    with torch.device("meta"):  # the paper's networks would not fit
        if run.needs_clip:
            with pytest.raises(UserError, match="this stage is conditioned on CLIP; name its run folder with --clip"):
                assemble(site, run)
        else:
            assert assemble(site, run).stage.run is run
