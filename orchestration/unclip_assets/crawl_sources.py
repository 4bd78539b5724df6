"""Page sources: which sites, lists, archives and folders a crawl batch is made from, kept as one small JSON per batch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from unclip_crawl.settings import PLACES, CrawlSettings
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the pictures of one batch come from, and who asks for them."""

    contact: str
    """An e-mail or web address under which the owner of a crawled site finds us."""
    seeds: tuple[str, ...] = field(default=())
    lists: tuple[str, ...] = field(default=())
    folders: tuple[str, ...] = field(default=())
    archives: tuple[str, ...] = field(default=())
    sitemaps: tuple[str, ...] = field(default=())
    shards: tuple[str, ...] = field(default=())
    s3_endpoint: str = ""
    allow_loopback: bool = False
    delay_s: float = 1.0
    concurrency_per_host: int = 2
    timeout_s: float = 30.0
    retries: int = 2
    hash_list: str = ""
    store_format: str = "png"

    def __post_init__(self) -> None:
        if not any(getattr(self, name) for name in PLACES):
            raise UserError(f"{', '.join(PLACES[:-1])} and {PLACES[-1]} are all empty; name at least one place to crawl")


def from_fields(fields: Mapping[str, Any]) -> Sources:
    """The sources that JSON or a config names."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Sources(**values)


def save(store: Store, batch: str, sources: Sources) -> Sources:
    """Keeps them; written only when they differ from what is kept."""
    if not store.exists(name := f"sources/{batch}.json") or load(store, batch) != sources:
        store.write_json(name, asdict(sources))
    return sources


def load(store: Store, batch: str) -> Sources:
    """What was kept for the batch; `UserError` when nothing was."""
    name = f"sources/{batch}.json"
    if not store.exists(name):
        raise UserError(
            f"the crawl batch {batch!r} has no sources yet; run `unclip data crawl --batch {batch}`, or give page_sources a config"
        )
    return from_fields(store.read_json(name))


def settings(store: Store, batch: str) -> CrawlSettings:
    """How the crawler is asked to fetch the batch."""
    return CrawlSettings(batch=batch, **asdict(load(store, batch)))
