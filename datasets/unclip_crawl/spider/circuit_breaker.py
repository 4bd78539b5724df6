"""Patience: how long each host is waited for, and when it is left alone for the rest of the run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from unclip_crawl.settings import CrawlSettings

BUSY = (429, 503)
LONGEST_WAIT_S = 120.0
# what begins with this may end differently another day; `rows.is_transient` looks for it
FOR_NOW = "for now: "


@dataclass
class Host:
    """What one host and port has answered so far; the numbers count answers in a row."""

    begun: float
    opt_outs: int = 0
    busy: int = 0
    silent: int = 0
    not_before: float = 0.0
    stopped: str | None = None


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


@dataclass
class Patience:
    """The circuit breaker: keeps count per host and port, says how long to wait, and why not to ask any more."""

    orders: CrawlSettings
    clock: Callable[[], float] = time.monotonic
    hosts: dict[str, Host] = field(default_factory=dict)

    def host(self, site: str) -> Host:
        """The record of a host, begun now when it is new."""
        if site not in self.hosts:
            self.hosts[site] = Host(self.clock())
        return self.hosts[site]

    def why_stopped(self, site: str) -> str | None:
        """Why the host is not asked any more, or None."""
        host = self.host(site)
        if host.stopped is None and self.clock() - host.begun > self.orders.host_deadline_s:
            host.stopped = f"{FOR_NOW}the host's {self.orders.host_deadline_s:g} seconds are over"
        return host.stopped

    def wait_s(self, site: str) -> float:
        """How long the host asked to be left alone from now on."""
        return max(0.0, self.host(site).not_before - self.clock())

    def note_answer(self, site: str, status: int, opt_out: str | None, retry_after: str | None) -> None:
        """Counts an answer; too many opt-outs, or too many of 429 and 503, in a row stop the host."""
        host = self.host(site)
        host.silent = 0
        host.opt_outs = host.opt_outs + 1 if opt_out is not None else (0 if status == 200 else host.opt_outs)
        if status in BUSY:
            self._note_busy(host, status, retry_after)
        else:
            host.busy = 0
        if host.opt_outs >= self.orders.stop_after_opt_outs:
            host.stopped = f"{host.opt_outs} answers in a row opted out, the last by {opt_out}"

    def _note_busy(self, host: Host, status: int, retry_after: str | None) -> None:
        host.busy += 1
        asked = retry_after_s(retry_after) if retry_after is not None else None
        wait = asked if asked is not None else self.orders.delay_s * 2**host.busy
        host.not_before = max(host.not_before, self.clock() + wait)
        if host.busy >= self.orders.stop_after_busy:
            host.stopped = f"{FOR_NOW}HTTP {status} {host.busy} times in a row"
        elif asked is not None and asked > LONGEST_WAIT_S:
            host.stopped = f"{FOR_NOW}HTTP {status}, and to come back after {asked:.0f} seconds"

    def note_silence(self, site: str) -> None:
        """Counts a request without an answer; too many in a row stop the host."""
        host = self.host(site)
        host.silent += 1
        if host.silent >= self.orders.stop_after_silence:
            host.stopped = f"{FOR_NOW}no answer {host.silent} times in a row"
