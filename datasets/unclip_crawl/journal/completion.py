"""Completion: whether a batch was finished from these very inputs, under these very settings."""

from unclip_crawl.settings import CrawlSettings
from unclip_pairs.manifest import Manifest, is_done, read_manifest
from unclip_pairs.store import Store


def manifest_name(batch: str) -> str:
    """The store's name of a batch's manifest."""
    return f"crawl/{batch}/manifest.json"


def was_finished(store: Store, settings: CrawlSettings, inputs: dict[str, str]) -> bool:
    """Whether this very batch was finished once, even if some of its files have gone since."""
    manifest = read_manifest(store, manifest_name(settings.batch))
    return manifest is not None and manifest.inputs == inputs and manifest.settings == settings.lasting()


def finished(store: Store, settings: CrawlSettings, inputs: dict[str, str]) -> Manifest | None:
    """The manifest when this very batch is done and all its files are there, else None."""
    name = manifest_name(settings.batch)
    return read_manifest(store, name) if is_done(store, name, inputs, settings.lasting()) else None
