"""Resolver: the one door through which every connection gets its address, so that no name can lead to a private one.

The addresses checked here are the very addresses connected to; a name that answers differently the next time (DNS rebinding)
is checked the next time.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from unclip_crawl.addresses import why_refused
from unclip_crawl.settings import CrawlSettings

# why the last look-up of a name was refused, by name; bounded, for it only explains a failure that has just happened
refusals: dict[str, str] = {}
REFUSALS_KEPT = 10_000


@implementer(IResolutionReceiver)
class PublicAddresses:
    """Passes on the addresses that may be connected to and swallows the others."""

    def __init__(self, receiver: Any, name: str, orders: CrawlSettings, port: int = 80) -> None:
        self.receiver = receiver
        self.name = name
        self.orders = orders
        self.port = port

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Part of `IResolutionReceiver`."""
        self.receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:
        """Part of `IResolutionReceiver`."""
        found = str(getattr(address, "host", ""))
        reason = why_refused(found, self.orders.allows_loopback(found, self.port))
        if reason is None:
            self.receiver.addressResolved(address)
            return
        if len(refusals) >= REFUSALS_KEPT:
            refusals.clear()
        refusals[self.name] = f"{self.name}: {reason}" if self.name not in reason else reason

    def resolutionComplete(self) -> None:
        """Part of `IResolutionReceiver`."""
        self.receiver.resolutionComplete()


@implementer(IHostnameResolver)
class GuardedResolver:
    """Scrapy's `TWISTED_DNS_RESOLVER`: the reactor's own resolver behind `PublicAddresses`."""

    def __init__(self, reactor: Any, orders: CrawlSettings) -> None:
        self.reactor = reactor
        self.inner = reactor.nameResolver
        self.orders = orders

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> "GuardedResolver":
        """Built by Scrapy."""
        return cls(reactor, crawler.settings["UNCLIP_ORDERS"])

    def install_on_reactor(self) -> None:
        """Called by Scrapy before the reactor starts."""
        self.reactor.installNameResolver(self)

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[Any] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Part of `IHostnameResolver`."""
        guarded = PublicAddresses(resolutionReceiver, hostName, self.orders, portNumber)
        refusals.pop(hostName, None)
        return self.inner.resolveHostName(guarded, hostName, portNumber, addressTypes, transportSemantics)
