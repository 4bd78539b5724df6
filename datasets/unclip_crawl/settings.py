"""Settings of one crawl: the one place that says what can be set, with the help that the command line, `python -m unclip_crawl` and the
Dagster config show, checked before anything is fetched."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypedDict, Unpack

from unclip_crawl.addresses import is_loopback, is_shard, why_invalid, why_refused
from unclip_crawl.consent import MARKS, USER_AGENT, checked_marks, product_token, user_agent_header
from unclip_crawl.pictures.bounds import STORE_FORMATS, Bounds
from unclip_pairs.errors import UserError
from unclip_pairs.json_value import JsonValue
from unclip_pairs.limits import MAX_BYTES, MAX_PIXELS

PLACES = ("seeds", "lists", "folders", "archives", "sitemaps", "shards")
PUBLIC_DELAY_S = 0.1
PUBLIC_CONCURRENCY = 8
NOTE = "note"
WHERE, WHAT, HOW = "Where to look", "What is taken", "Who asks, how fast, and when to stop"


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is known of a setting besides its type and default. `flag` is its option's name where that is not the field's own, `group`
    heads its options; `least` and `most` bound a number. `is_lasting` says that it decides what a finished batch holds, `is_path` that it
    may name something on this machine, `is_once` that it holds for one run and is not kept for the next."""

    help: str
    group: str = WHAT
    flag: str = ""
    least: float | None = None
    most: float | None = None
    is_lasting: bool = True
    is_path: bool = False
    is_once: bool = False


class NoteParts(TypedDict, total=False):
    """What may be said of a `Note` besides its help."""

    group: str
    flag: str
    least: float | None
    most: float | None
    is_lasting: bool
    is_path: bool
    is_once: bool


def about(help: str, **more: Unpack[NoteParts]) -> dict[str, Note]:
    """A field's metadata: its `Note`."""
    return {NOTE: Note(help=help, **more)}


def tempo(help: str, **more: Unpack[NoteParts]) -> dict[str, Note]:
    """The metadata of a field that says how fast, how long or by whom is asked, which changes nothing about what a finished batch holds."""
    parts: NoteParts = {"group": HOW, "is_lasting": False, **more}
    return about(help, **parts)


@dataclass(frozen=True, kw_only=True)
class CrawlSettings:
    """One batch: where to look, who asks, and the bounds; every field's help is in its metadata. `UserError` on the first value that makes
    no sense.
    """

    batch: str = field(metadata=about("The batch's name; the same name again goes on where it stopped.", group=""))
    contact: str = field(metadata=tempo("Your e-mail or web address: the owners of crawled sites must be able to find you.", group=""))
    seeds: tuple[str, ...] = field(default=(), metadata=about("Page to begin from; its site is crawled.", group=WHERE, flag="--seed"))
    lists: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "List of picture addresses with captions: .parquet, .csv, .tsv or .jsonl.", group=WHERE, flag="--list", is_path=True
        ),
    )
    folders: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Folder of pictures on this machine, each with a .txt or .json beside it.", group=WHERE, flag="--folder", is_path=True
        ),
    )
    archives: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "WARC or WAT file (path, http(s) or s3 address): the pictures of its pages are fetched.",
            group=WHERE,
            flag="--archive",
            is_path=True,
        ),
    )
    sitemaps: tuple[str, ...] = field(
        default=(), metadata=about("Address of a sitemap, or of a robots.txt that names some.", group=WHERE, flag="--sitemap")
    )
    shards: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Tar of pictures by img2dataset or WebDataset (path, http(s) or s3 address).", group=WHERE, flag="--shard", is_path=True
        ),
    )
    s3_endpoint: str = field(default="", metadata=about("Where S3 is, when it is not Amazon's.", group=WHERE, is_lasting=False))
    user_agent: str = field(default=USER_AGENT, metadata=tempo("The crawler's product/version; the contact is added to it."))
    allow_loopback: bool = field(default=False, metadata=about("Let the crawler reach every port of this machine.", group=HOW))
    loopback_hosts: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "ADDRESS:PORT of this machine that may be reached, such as 127.0.0.1:8741; no other may.", group=HOW, flag="--loopback-host"
        ),
    )
    max_bytes: int = field(default=MAX_BYTES, metadata=about("Bytes a picture may have at most.", least=1024, most=MAX_BYTES))
    max_pixels: int = field(default=MAX_PIXELS, metadata=about("Pixels a picture may have at most.", least=1, most=MAX_PIXELS))
    min_side: int = field(default=16, metadata=about("Pixels that a picture's shorter side must have.", least=1))
    store_size: int = field(default=256, metadata=about("Longest side, in pixels, that a stored picture has.", least=16, most=4096))
    shard_size: int = field(default=1000, metadata=tempo("Pictures in one shard.", least=1))
    flush_s: float = field(default=20.0, metadata=tempo("Seconds after which what was fetched is written to the disk.", least=0.1))
    delay_s: float = field(default=1.0, metadata=tempo("Seconds between two requests to one host; at least 0.1 for public hosts.", least=0))
    concurrency_per_host: int = field(
        default=2, metadata=tempo("Requests to one host at the same time; at most 8 to a public host.", least=1, most=64)
    )
    timeout_s: float = field(default=30.0, metadata=tempo("Seconds that one request may take.", least=0.1))
    deadline_s: float = field(default=3600.0, metadata=tempo("Seconds after which the rest becomes rows of status timeout.", least=1))
    host_deadline_s: float = field(
        default=3000.0, metadata=tempo("Seconds after which the rest of one host becomes rows of status host_stopped.", least=1)
    )
    stop_after_opt_outs: int = field(default=20, metadata=tempo("Opt-outs in a row after which a host is left alone.", least=1))
    stop_after_busy: int = field(default=5, metadata=tempo("Answers of 429 or 503 in a row after which a host is left alone.", least=1))
    stop_after_silence: int = field(
        default=10, metadata=tempo("Requests without an answer in a row after which a host is left alone.", least=1)
    )
    retries: int = field(default=2, metadata=tempo("Further attempts at what failed for a passing reason.", least=0, most=10))
    max_pages: int = field(default=100_000, metadata=about("Pages that are read at most.", least=0))
    max_sitemaps: int = field(default=1000, metadata=about("Sitemaps that are read at most.", least=0, most=100_000))
    retry_failed: bool = field(
        default=False, metadata=tempo("Try again what failed for a passing reason in an earlier run, and that alone.", is_once=True)
    )
    marks: tuple[str, ...] = field(
        default=MARKS, metadata=about("Opt-out mark that is honoured; leaving out one of the default takes a marks reason.", flag="--mark")
    )
    marks_reason: str = field(default="", metadata=about("Why a mark is left out; it is kept in the batch's manifest."))
    # named among the inputs, by its digest, and so not among the settings
    hash_list: str = field(
        default="", metadata=about("Your file of known-illegal hashes: what is on it is never stored.", is_lasting=False, is_path=True)
    )
    store_format: str = field(default="png", metadata=about("png, jpeg, or source: JPEG for what came as JPEG, PNG for the rest."))

    def __post_init__(self) -> None:
        for name in PLACES:
            object.__setattr__(self, name, tuple(str(value) for value in getattr(self, name)))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", self.batch):
            raise UserError(f"batch {self.batch!r} cannot name a folder; use letters, digits, '-', '_' and '.', at most 100")
        if not any(getattr(self, name) for name in PLACES):
            raise UserError(f"{', '.join(PLACES[:-1])} and {PLACES[-1]} are all empty; name at least one place to crawl")
        for name, note in notes().items():
            if note.least is not None:
                _check_range(name, getattr(self, name), note.least, note.most)
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

    def lasting(self) -> dict[str, JsonValue]:
        """The settings that decide what a finished batch holds, as JSON values."""
        return {name: value for name, value in self.as_json().items() if notes()[name].is_lasting}

    def as_json(self) -> dict[str, JsonValue]:
        """All settings as JSON values; `settings_from_json` reads them back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def notes() -> dict[str, Note]:
    """What is known of each setting, by its field's name, in order."""
    return {known.name: known.metadata[NOTE] for known in fields(CrawlSettings)}


def _check_range(name: str, value: object, least: float, most: float | None) -> None:
    if not isinstance(value, int | float) or not least <= value <= (float("inf") if most is None else most):
        raise UserError(f"{name} {value!r} is out of range; use a number from {least:g}" + (f" to {most:g}" if most is not None else ""))


def settings_from_json(value: Mapping[str, Any]) -> CrawlSettings:
    """The settings in a JSON object; `UserError` names a field that is missing or unknown."""
    known = set(notes())
    unknown, absent = sorted(set(value) - known), sorted({"batch", "contact"} - set(value))
    if unknown or absent:
        raise UserError(
            f"the crawl settings {'have the unknown field ' + unknown[0] if unknown else 'lack the field ' + absent[0]}; correct it"
        )
    return CrawlSettings(**value)
