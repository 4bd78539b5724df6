"""Tests of runs as data: what manifests and checkpoints know them by."""

from unclip_training.recipes import decoder_tiny, prior_tiny


def test_settings_keep_the_names_that_manifests_hold() -> None:
    """A changed name would change every run's digest, so that finished trainings would be trained again."""
    prior, decoder = prior_tiny().settings(), decoder_tiny().settings()
    assert prior["model"]["guess"] == {"width": 4096, "depth": 1}
    assert decoder["model"]["sketch"] == {"width": 8192, "depth": 1, "components": 1024}
    assert prior["guessing"]["ratio"] == 2.0 and decoder["sketching"]["ratio"] == 1.0
    assert not {"regressor", "pretraining"} & {*prior, *prior["model"], *decoder, *decoder["model"]}
