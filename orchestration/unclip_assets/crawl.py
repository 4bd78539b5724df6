"""Crawl assets: from a list of places to shards of pictures with a row for every address."""

from typing import Any

import dagster as dg
from pydantic import Field

from unclip_assets import crawl_sources, previews
from unclip_assets.partitions import crawl_batches
from unclip_assets.resources import Home
from unclip_assets.timing import Timer
from unclip_crawl.crawl import crawl
from unclip_crawl.settings import PLACES
from unclip_pairs.shards import shard_names
from unclip_starter.build import SIZES, build_starter

OWNERS = ["team:data"]


class StarterConfig(dg.Config):
    """How large the starter corpus is."""

    size: str = Field(default="full", description="full: more than 4,000 pictures in five styles; smoke: a few hundred")


class SourcesConfig(dg.Config):
    """The places of one crawl batch; left empty, the batch keeps the places it has."""

    contact: str = Field(default="", description="e-mail or web address under which a site's owner finds us; required with new places")
    seeds: list[str] = Field(default=[], description="pages to begin from; their hosts are crawled whole")
    lists: list[str] = Field(default=[], description="files of addresses with captions: parquet, csv or jsonl")
    folders: list[str] = Field(default=[], description="folders of pictures on this machine")
    archives: list[str] = Field(default=[], description="WARC or WAT files: paths, http(s) or s3 addresses")
    sitemaps: list[str] = Field(default=[], description="addresses of sitemaps, or of a robots.txt that names some")
    shards: list[str] = Field(default=[], description="tars of pictures by img2dataset or WebDataset")
    s3_endpoint: str = Field(default="", description="where S3 is, when it is not Amazon's")
    allow_loopback: bool = Field(default=False, description="let the crawler reach this machine itself (the planted web)")
    delay_s: float = Field(default=1.0, description="seconds between two requests to one host")
    concurrency_per_host: int = Field(default=2, description="requests to one host at the same time")
    timeout_s: float = Field(default=30.0, description="seconds to wait for an answer")
    hash_list: str = Field(default="", description="the operator's file of known-illegal hashes; what is on it is never stored")
    store_format: str = Field(default="png", description="png, jpeg, or source: JPEG for what came as JPEG")
    retries: int = Field(default=2, description="how often what failed for a passing reason is asked for again")

    def places(self) -> crawl_sources.Sources | None:
        """The places it names; None when it names none."""
        return crawl_sources.from_fields(self.model_dump()) if any(getattr(self, name) for name in PLACES) else None


@dg.asset(group_name="crawl", kinds={"npm"}, owners=OWNERS)
def starter_site(config: StarterConfig, home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """The starter corpus: openly licensed emoji in five styles, captioned and laid out as a small web site with planted defects."""
    with timer.step("starter") as step:
        manifest = build_starter(home.store(), SIZES[config.size], step.progress)
    return previews.made(step, manifest)


@dg.asset(group_name="crawl", kinds={"json"}, owners=OWNERS, partitions_def=crawl_batches, deps=[starter_site])
def page_sources(context: dg.AssetExecutionContext, config: SourcesConfig, home: Home) -> dg.MaterializeResult[Any]:
    """Where a crawl batch comes from: seed sites, sitemaps, lists, archives, shards, folders; and who stands for the crawl."""
    store, batch = home.store(), context.partition_key
    named = config.places()
    places = crawl_sources.save(store, batch, named) if named else crawl_sources.load(store, batch)
    rows = [(kind, place) for kind in PLACES for place in getattr(places, kind)]
    count = previews.numbers({"num_places": len(rows)})
    return dg.MaterializeResult(metadata={"contact": places.contact, "places": previews.table(["kind", "place"], rows), **count})


@dg.asset(group_name="crawl", kinds={"scrapy", "webdataset"}, owners=OWNERS, partitions_def=crawl_batches, deps=[page_sources])
def raw_shards(context: dg.AssetExecutionContext, home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """Every picture that could be fetched, in WebDataset shards; every address that could not, as a row with its status."""
    store, batch = home.store(), context.partition_key
    with timer.step("crawl") as step:
        manifest = crawl(store, crawl_sources.settings(store, batch), step.progress)
    return previews.made(step, manifest, **previews.shard_sheet(store, shard_names(store, f"crawl/{batch}/")))
