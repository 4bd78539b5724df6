"""Crawl sources: the settings that a crawl batch is fetched by, kept as one small JSON per batch."""

from collections.abc import Mapping

from unclip_crawl.options import settings_given
from unclip_crawl.settings import CrawlSettings, settings_from_json
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store


def _name(batch: str) -> str:
    return f"sources/{batch}.json"


def save(store: Store, batch: str, given: Mapping[str, object]) -> CrawlSettings:
    """The batch's settings from now on: those given when they name a place, else those kept, changed by those given. Written only when
    they differ from what is kept; `UserError` when nothing is given nor kept."""
    kept = load(store, batch) if store.exists(_name(batch)) else None
    settings = settings_given({**given, "batch": batch}, kept)
    if settings != kept:
        store.write_json(_name(batch), {name: value for name, value in settings.as_json().items() if name != "batch"})
    return settings


def load(store: Store, batch: str) -> CrawlSettings:
    """What was kept for the batch, in files of earlier versions too; `UserError` when nothing was."""
    if not store.exists(_name(batch)):
        raise UserError(
            f"the crawl batch {batch!r} has no sources yet; run `unclip data crawl --batch {batch}`, or give page_sources a config"
        )
    return settings_from_json({**store.read_json(_name(batch)), "batch": batch})
