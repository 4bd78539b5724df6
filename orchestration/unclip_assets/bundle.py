"""Bundle asset: every stage that painting needs, with tokenizer, configs and manifests, in one folder."""

import dagster as dg

from unclip_assets.clip import RESEARCH, clip_model
from unclip_assets.pointers import present
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import Timer
from unclip_assets.resources import Home
from unclip_assets.train import decoder_model, prior_model, upsampler_256_model, upsampler_1024_model
from unclip_pairs.manifest import read_manifest
from unclip_pairs.pointers import point
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder, write_bundle

GUIDANCE = {"prior": 2.5, "decoder": 1.0}
"""The scales that a bundle recommends: between 1.5 and 4 for the prior and 1 and 2 for the decoder validation captions came out alike.

At 1 the decoder runs once a step in place of twice.
"""
STAGES = {"clip": "clip", "prior": "prior", "decoder": "decoder", "upsampler_1": "upsampler_256", "upsampler_2": "upsampler_1024"}


def policy_of(store: Store) -> str:
    """The version of the policy that chose what the present networks learned from."""
    published = read_manifest(store, f"datasets/{present(store, 'training_shards').name}/manifest.json")
    assert published is not None, "a dataset that is pointed at is finished"
    return str(published.settings["policy_version"])


@dg.asset(
    group_name="train",
    kinds={"safetensors"},
    owners=RESEARCH,
    deps=[clip_model, prior_model, decoder_model, upsampler_256_model, upsampler_1024_model],
)
def bundle(home: Home, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The five networks as one generator, named by the digests of everything in it."""
    store = home.store()
    with timer.step("bundle") as step:
        folders = {stage: f"models/{run}/{present(store, f'{run}_model').name}" for stage, run in STAGES.items()}
        manifest = write_bundle(store, folders, policy_version=policy_of(store), guidance=GUIDANCE)
    folder = bundle_folder(manifest)
    point(store, "bundle", folder.removeprefix("bundles/"), manifest.digest)
    return previews.made(step, manifest, stages=previews.table(["stage", "run"], folders.items()))
