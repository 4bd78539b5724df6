"""Crawl assets: from a list of places to shards of pictures with a row for every address."""

from typing import Any

import dagster as dg
from pydantic import Field, create_model

from unclip_assets import crawl_sources
from unclip_assets.partitions import crawl_batches
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import Timer
from unclip_assets.resources import Home
from unclip_crawl.crawl import crawl
from unclip_crawl.options import options
from unclip_crawl.settings import PLACES
from unclip_pairs.shards import shard_names
from unclip_starter.build import SIZES, build_starter

OWNERS = ["team:data"]


class StarterConfig(dg.Config):
    """How large the starter corpus is."""

    size: str = Field(default="full", description="full: more than 4,000 pictures in five styles; smoke: a few hundred")


def _config_fields() -> dict[str, Any]:
    """A field of the config for every setting but the batch, which is the partition; None is not given. pydantic takes any value here."""
    known = [option for option in options() if option.name != "batch"]
    return {
        option.name: ((list[str] if option.is_several else option.kind) | None, Field(default=None, description=option.help))
        for option in known
    }


_Settings: type[dg.Config] = create_model("_Settings", __base__=dg.Config, **_config_fields())


class SourcesConfig(_Settings):
    """The settings of one crawl batch. With a place named they stand for themselves; without one they change what the batch has."""


@dg.asset(group_name="crawl", kinds={"npm"}, owners=OWNERS)
def starter_site(config: StarterConfig, home: Home, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The starter corpus: openly licensed emoji in five styles, captioned and laid out as a small web site with planted defects."""
    with timer.step("starter") as step:
        manifest = build_starter(home.store(), SIZES[config.size], step.progress)
    return previews.made(step, manifest)


@dg.asset(group_name="crawl", kinds={"json"}, owners=OWNERS, partitions_def=crawl_batches, deps=[starter_site])
def page_sources(context: dg.AssetExecutionContext, config: SourcesConfig, home: Home) -> previews.Materialized:
    """Where a crawl batch comes from: seed sites, sitemaps, lists, archives, shards, folders; and who stands for the crawl."""
    store, batch = home.store(), context.partition_key
    settings = crawl_sources.save(store, batch, config.model_dump())
    rows = [(kind, place) for kind in PLACES for place in getattr(settings, kind)]
    count = previews.numbers({"num_places": len(rows)})
    return dg.MaterializeResult(metadata={"contact": settings.contact, "places": previews.table(["kind", "place"], rows), **count})


@dg.asset(group_name="crawl", kinds={"scrapy", "webdataset"}, owners=OWNERS, partitions_def=crawl_batches, deps=[page_sources])
def raw_shards(context: dg.AssetExecutionContext, home: Home, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """Every picture that could be fetched, in WebDataset shards; every address that could not, as a row with its status."""
    store, batch = home.store(), context.partition_key
    with timer.step("crawl") as step:
        manifest = crawl(store, crawl_sources.load(store, batch), step.progress)
    return previews.made(step, manifest, **previews.shard_sheet(store, shard_names(store, f"crawl/{batch}/")))
