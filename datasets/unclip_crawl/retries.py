"""Retries: which HTTP answers are redirects, which may pass, and what a server asks for when it is busy. One table for pages, pictures,
archives and shards."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

REDIRECT_STATUSES = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
BUSY_STATUSES = (429, 503)  # the host asks for a pause; too many in a row open its circuit breaker
RETRIED_STATUSES = (408, 425, 429, 500, 502, 503, 504, 522, 524)  # asked again in the same run
RETRIED_BY_ARCHIVES = (403, *RETRIED_STATUSES)  # Common Crawl answers 403 when it is asked too fast
LONGEST_WAIT_S = 120.0
# a detail that begins with this may end differently another day; `journal.rows.is_transient` looks for it
FOR_NOW = "for now: "


def may_pass(status: int) -> bool:
    """Whether another attempt on another day may end differently: any fault of the server's own, or a wish to be asked later."""
    return status in RETRIED_STATUSES or 500 <= status < 600


def retry_after_s(value: str, today: datetime | None = None) -> float | None:
    """The seconds a Retry-After header asks for, given as a number or as a date; None when it asks for nothing readable."""
    text = value.strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (today or datetime.now(UTC))).total_seconds())
