"""Schema: the columns of a crawled pair, its statuses and the reasons of verdicts."""

import hashlib
from dataclasses import dataclass

import pyarrow as pa

STATUSES = (
    "ok",
    "robots_denied",
    "opt_out",
    "http_error",
    "redirect_error",
    "timeout",
    "dns_error",
    "connection_error",
    "too_large",
    "too_many_pixels",
    "too_small",
    "not_an_image",
    "decode_error",
    "private_address",
    "invalid_url",
    "duplicate_url",
    "disk_error",
    "taken_down",
    "listed_hash",
    "host_stopped",
)

REASONS = (
    *STATUSES[1:],
    "too_small_side",
    "odd_aspect",
    "blank",
    "blurred",
    "low_quality",
    "caption_short",
    "caption_long",
    "caption_language",
    "caption_email",
    "caption_boilerplate",
    "caption_pii",
    "caption_repetition",
    "caption_toxic",
    "licence_denied",
    "explicit",
    "faces",
    "excluded_identity",
    "watermark",
    "text_heavy",
    "duplicate_exact",
    "duplicate_perceptual",
    "duplicate_semantic",
    "caption_mismatch",
    "low_aesthetic",
    "category_probe",
    "evaluation_leak",
)

CRAWL_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("url", pa.string()),
        ("page_url", pa.string()),
        ("caption", pa.string()),
        ("licence", pa.string()),
        ("language", pa.string()),
        ("alt", pa.string()),
        ("title", pa.string()),
        ("figcaption", pa.string()),
        ("text_before", pa.string()),
        ("text_after", pa.string()),
        ("host", pa.string()),
        ("status", pa.string()),
        ("detail", pa.string()),
        ("sha256", pa.string()),
        ("byte_count", pa.int64()),
        ("content_type", pa.string()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("rights", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("shard", pa.string()),
        ("fetched_at", pa.string()),
    ]
)


@dataclass(frozen=True)
class Context:
    """What a page says around a picture: everything that could be its caption, the language (BCP 47, None when unknown), and the directive
    by which the page opts out of training, if any."""

    alt: str = ""
    title: str = ""
    figcaption: str = ""
    text_before: str = ""
    text_after: str = ""
    language: str | None = None
    opt_out: str | None = None


NO_CONTEXT = Context()


@dataclass(frozen=True)
class Pair:
    """A picture's address with the caption it was published under; a licence of None is unstated."""

    key: str
    url: str
    page_url: str
    caption: str
    licence: str | None
    context: Context = NO_CONTEXT


def pair_key(url: str, caption: str) -> str:
    """20 lower-case hex digits that stay the same for the same picture address and caption."""
    return hashlib.sha256(f"{url}\n{caption}".encode("utf-8", "surrogatepass")).hexdigest()[:20]


def make_pair(url: str, caption: str, page_url: str = "", licence: str | None = None, context: Context = NO_CONTEXT) -> Pair:
    """The pair with its key."""
    return Pair(pair_key(url, caption), url, page_url, caption, licence, context)
