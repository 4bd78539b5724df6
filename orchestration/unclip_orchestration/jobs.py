"""Jobs: the steps of the story that are run together."""

import dagster as dg

CRAWL = dg.AssetSelection.assets("page_sources", "raw_shards")
CURATE = dg.AssetSelection.groups("rules", "safety", "clip", "embed", "duplicates", "publish")
TRAIN = dg.AssetSelection.assets("prior_model", "decoder_model", "upsampler_256_model", "upsampler_1024_model", "judge_model")
RELEASE = dg.AssetSelection.groups("release") | dg.AssetSelection.assets("bundle", "evaluation", "regurgitation_report")

starter = dg.define_asset_job("starter", dg.AssetSelection.assets("starter_site"), description="Build the starter corpus and its site.")
crawl = dg.define_asset_job("crawl", CRAWL, description="Fetch one batch of pictures.")
curate = dg.define_asset_job(
    "curate",
    CURATE,
    description="Score, decide, embed, de-duplicate and publish; CLIP is learned on the way.",
)
train = dg.define_asset_job("train", TRAIN, description="Train every stage on the published set.")
release = dg.define_asset_job("release", RELEASE, description="Bundle, evaluate, register, pass the gates, promote.")
everything = dg.define_asset_job(
    "everything",
    CRAWL | CURATE | TRAIN | RELEASE,
    description="The whole story, from one batch's pages to a champion.",
)

ALL = [starter, crawl, curate, train, release, everything]
