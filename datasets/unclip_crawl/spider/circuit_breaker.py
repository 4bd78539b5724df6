"""Circuit breaker: how long each host is waited for, and when it is left alone for the rest of the run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from unclip_crawl.consent import TDM, opt_out_in_headers
from unclip_crawl.retries import BUSY_STATUSES, FOR_NOW, LONGEST_WAIT_S, retry_after_s
from unclip_crawl.settings import CrawlSettings


@dataclass
class Host:
    """What one host and port has answered so far; the numbers count answers in a row."""

    begun: float
    opt_outs: int = 0
    busy: int = 0
    silent: int = 0
    not_before: float = 0.0
    stopped: str | None = None


@dataclass
class CircuitBreaker:
    """Keeps count per host and port, says how long to wait, and why not to ask any more."""

    settings: CrawlSettings
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
        if host.stopped is None and self.clock() - host.begun > self.settings.host_deadline_s:
            host.stopped = f"{FOR_NOW}the host's {self.settings.host_deadline_s:g} seconds are over"
        return host.stopped

    def wait_s(self, site: str) -> float:
        """How long the host asked to be left alone from now on."""
        return max(0.0, self.host(site).not_before - self.clock())

    def count_answer(self, site: str, status: int, header: Callable[[str], list[str]], may_opt_out: bool = True) -> str | None:
        """Counts an answer of a host and gives the directive by which it opts out, if any. `header` gives all values of a header;
        with `may_opt_out` False the headers are not asked, for the answer is the host's file about itself."""
        opt_out = None
        if may_opt_out:
            opt_out = opt_out_in_headers(header("X-Robots-Tag"), header(TDM), self.settings.token, self.settings.marks)
        self.note_answer(site, status, opt_out, (header("Retry-After") or [None])[0])
        return opt_out

    def note_answer(self, site: str, status: int, opt_out: str | None, retry_after: str | None) -> None:
        """Counts an answer; too many opt-outs, or too many of 429 and 503, in a row stop the host."""
        host = self.host(site)
        host.silent = 0
        host.opt_outs = host.opt_outs + 1 if opt_out is not None else (0 if status == 200 else host.opt_outs)
        if status in BUSY_STATUSES:
            self._note_busy(host, status, retry_after)
        else:
            host.busy = 0
        if host.opt_outs >= self.settings.stop_after_opt_outs:
            host.stopped = f"{host.opt_outs} answers in a row opted out, the last by {opt_out}"

    def _note_busy(self, host: Host, status: int, retry_after: str | None) -> None:
        host.busy += 1
        asked = retry_after_s(retry_after) if retry_after is not None else None
        wait = asked if asked is not None else self.settings.delay_s * 2**host.busy
        host.not_before = max(host.not_before, self.clock() + wait)
        if host.busy >= self.settings.stop_after_busy:
            host.stopped = f"{FOR_NOW}HTTP {status} {host.busy} times in a row"
        elif asked is not None and asked > LONGEST_WAIT_S:
            host.stopped = f"{FOR_NOW}HTTP {status}, and to come back after {asked:.0f} seconds"

    def note_silence(self, site: str) -> None:
        """Counts a request without an answer; too many in a row stop the host."""
        host = self.host(site)
        host.silent += 1
        if host.silent >= self.settings.stop_after_silence:
            host.stopped = f"{FOR_NOW}no answer {host.silent} times in a row"
