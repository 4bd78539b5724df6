"""Settings of one crawl, checked before anything is fetched."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from unclip_crawl.addresses import is_loopback, is_shard, why_invalid, why_refused
from unclip_crawl.consent import MARKS, checked_marks, product_token, user_agent_header
from unclip_crawl.pictures.prepare import STORE_FORMATS, Bounds
from unclip_pairs.errors import UserError
from unclip_pairs.images import MAX_BYTES, MAX_PIXELS

PLACES = ("seeds", "lists", "folders", "archives", "sitemaps", "shards")
PUBLIC_DELAY_S = 0.1
PUBLIC_CONCURRENCY = 8
LEAST: Mapping[str, float] = {
    "max_bytes": 1024,
    "max_pixels": 1,
    "min_side": 1,
    "store_size": 16,
    "shard_size": 1,
    "flush_s": 0.1,
    "delay_s": 0,
    "concurrency_per_host": 1,
    "timeout_s": 0.1,
    "deadline_s": 1,
    "host_deadline_s": 1,
    "stop_after_opt_outs": 1,
    "stop_after_busy": 1,
    "stop_after_silence": 1,
    "retries": 0,
    "max_pages": 0,
    "max_sitemaps": 0,
}
MOST: Mapping[str, float] = {
    "max_bytes": MAX_BYTES,
    "max_pixels": MAX_PIXELS,
    "store_size": 4096,
    "concurrency_per_host": 64,
    "retries": 10,
    "max_sitemaps": 100_000,
}
# how fast and how patiently changes nothing about what a finished batch holds
PACE = (
    "flush_s",
    "delay_s",
    "concurrency_per_host",
    "timeout_s",
    "deadline_s",
    "host_deadline_s",
    "stop_after_opt_outs",
    "stop_after_busy",
    "stop_after_silence",
    "retries",
    "retry_failed",
    "shard_size",
    "user_agent",
    "contact",
    "s3_endpoint",
    "hash_list",  # named among the inputs, by its digest
)


@dataclass(frozen=True, kw_only=True)
class CrawlSettings:
    """One batch: where to look, who asks, and the bounds. `UserError` on the first value that makes no sense.

    `seeds` are pages whose site (same scheme, host and port) is walked; `lists` are Parquet, CSV or JSON-lines files;
    `folders` hold pictures. `archives` are WARC or WAT files and `shards` tars of img2dataset or WebDataset: paths, http(s) or s3 addresses
    (`s3_endpoint` when S3 is not Amazon's). `sitemaps` are addresses of sitemaps or of a robots.txt that names some; at most
    `max_sitemaps` are read, and the pages in them are walked like seeds.
    `contact` (e-mail or http(s) address) goes into the User-Agent. `delay_s` is the pace per host, at least 0.1 s for public hosts;
    with `allow_loopback`, loopback hosts may be fetched, as fast as `delay_s` and `concurrency_per_host` say.
    `loopback_hosts` (address:port, such as 127.0.0.1:8741) allows only these, and a link or a redirect to any other port is still refused.
    After `deadline_s` seconds every address left becomes a row with status timeout; after `host_deadline_s` seconds with one host, after
    `stop_after_opt_outs` opt-outs, `stop_after_busy` answers of 429 or 503 or `stop_after_silence` requests without an answer, each in a
    row, the rest of that host becomes rows with status host_stopped.
    `marks` are the opt-out marks that are honoured; leaving one of `consent.MARKS` out takes a `marks_reason`, which the manifest keeps.
    `hash_list` is the operator's file of known-illegal hashes: what it lists is not stored, and nothing is fetched when it cannot be read.
    `store_format` is png, jpeg, or source: a picture that came as JPEG is stored as JPEG, any other as PNG.
    `retry_failed` tries again what failed for passing reasons.
    """

    batch: str
    contact: str
    seeds: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    s3_endpoint: str = ""
    user_agent: str = "unclip-crawler/0.1"
    allow_loopback: bool = False
    loopback_hosts: tuple[str, ...] = ()
    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    min_side: int = 16
    store_size: int = 256
    shard_size: int = 1000
    flush_s: float = 20.0
    delay_s: float = 1.0
    concurrency_per_host: int = 2
    timeout_s: float = 30.0
    deadline_s: float = 3600.0
    host_deadline_s: float = 3000.0
    stop_after_opt_outs: int = 20
    stop_after_busy: int = 5
    stop_after_silence: int = 10
    retries: int = 2
    max_pages: int = 100_000
    max_sitemaps: int = 1000
    retry_failed: bool = False
    marks: tuple[str, ...] = MARKS
    marks_reason: str = ""
    hash_list: str = ""
    store_format: str = "png"

    def __post_init__(self) -> None:
        for name in PLACES:
            object.__setattr__(self, name, tuple(str(value) for value in getattr(self, name)))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", self.batch):
            raise UserError(f"batch {self.batch!r} cannot name a folder; use letters, digits, '-', '_' and '.', at most 100")
        if not any(getattr(self, name) for name in PLACES):
            raise UserError(f"{', '.join(PLACES[:-1])} and {PLACES[-1]} are all empty; name at least one place to crawl")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not least <= value <= MOST.get(name, float("inf")):
                raise UserError(
                    f"{name} {value!r} is out of range; use a number from {least:g}" + (f" to {MOST[name]:g}" if name in MOST else "")
                )
        object.__setattr__(self, "loopback_hosts", tuple(self.loopback_hosts))
        for place in self.loopback_hosts:
            address, _, port = place.rpartition(":")
            if not is_loopback(address.strip("[]")) or address == "localhost" or not port.isdigit():
                raise UserError(f"loopback_hosts names {place!r}; write an address of this machine with a port, such as 127.0.0.1:8741")
        if self.delay_s < PUBLIC_DELAY_S and not (self.allow_loopback or self.loopback_hosts):
            raise UserError(f"delay_s {self.delay_s} is too fast for other people's hosts; use at least {PUBLIC_DELAY_S}")
        if self.store_format not in STORE_FORMATS:
            raise UserError(f"store_format {self.store_format!r} is unknown; use one of {', '.join(STORE_FORMATS)}")
        user_agent_header(self.user_agent, self.contact)
        object.__setattr__(self, "marks", checked_marks(self.marks, self.marks_reason))
        for kind, url in (*(("seed", seed) for seed in self.seeds), *(("sitemap", sitemap) for sitemap in self.sitemaps)):
            reason = why_invalid(url)
            if reason is not None:
                raise UserError(f"the {kind} {url!r} is no address of a page ({reason}); write it as https://host/path")
        for shard in self.shards:
            if not is_shard(shard):
                raise UserError(
                    f"the shard {shard!r} is no tar by its name; name the .tar files, their .parquet files are found beside them"
                )

    def why_refused(self, address: str, port: int) -> str | None:
        """Why this port of an IP address (as text) may not be connected to, or None. Pages, pictures and both resolvers ask here."""
        place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        return why_refused(address, self.allow_loopback or place in self.loopback_hosts)

    @property
    def header(self) -> str:
        """The User-Agent header."""
        return user_agent_header(self.user_agent, self.contact)

    @property
    def token(self) -> str:
        """The name by which robots.txt addresses us."""
        return product_token(self.user_agent)

    @property
    def bounds(self) -> Bounds:
        """What a picture may be and how it is stored."""
        sizes = {"max_pixels": self.max_pixels, "min_side": self.min_side, "store_size": self.store_size}
        return Bounds(**sizes, store_format=self.store_format)

    def lasting(self) -> dict[str, Any]:
        """The settings that decide what a finished batch holds, as JSON values."""
        return {name: value for name, value in self.as_json().items() if name not in PACE}

    def as_json(self) -> dict[str, Any]:
        """All settings as JSON values; `settings_from_json` reads them back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def settings_from_json(value: Mapping[str, Any]) -> CrawlSettings:
    """The settings in a JSON object; `UserError` names a field that is missing or unknown."""
    known = {field.name for field in fields(CrawlSettings)}
    unknown, absent = sorted(set(value) - known), sorted({"batch", "contact"} - set(value))
    if unknown or absent:
        raise UserError(
            f"the crawl settings {'have the unknown field ' + unknown[0] if unknown else 'lack the field ' + absent[0]}; correct it"
        )
    return CrawlSettings(**value)
