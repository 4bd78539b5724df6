"""Resolvers: every connection gets its address here, Scrapy's and aiohttp's alike, so that no name can lead to a private one.

The addresses checked here are the very addresses connected to; a name that answers differently the next time (DNS rebinding)
is checked the next time. What may be connected to is decided by `CrawlSettings.why_refused` alone.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult
from scrapy.crawler import Crawler
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.errors import Refused, note_refusal, refusals


class PublicNames(AbstractResolver):
    """aiohttp's resolver: the system's own; a name that leads to an address that may not be connected to has none."""

    def __init__(self, settings: CrawlSettings) -> None:
        self.settings = settings

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The public addresses of a name; `Refused` when it has others only."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        except UnicodeError as error:
            raise OSError(f"{host[:100]!r} is no name ({error})") from error
        reasons = {address: self.settings.why_refused(address, port) for address in {str(place[4][0]) for place in found}}
        public = [place for place in found if reasons[str(place[4][0])] is None]
        if found and not public:
            raise Refused("private_address", f"{host}: {next(iter(reasons.values()))}")
        numeric = int(socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
        known = {"hostname": host, "port": port, "flags": numeric}
        return [ResolveResult(**known, host=str(place[4][0]), family=place[0], proto=place[2]) for place in public]  # type: ignore[typeddict-item]

    async def close(self) -> None:
        """Nothing is open."""


class Receiver(Protocol):
    """Where the addresses of a name go: `IResolutionReceiver`, whose methods name no `self`, as a type checker can read it."""

    def resolutionBegan(self, resolution: IHostResolution, /) -> None:
        """The look-up has begun."""

    def addressResolved(self, address: IAddress, /) -> None:
        """One of the addresses."""

    def resolutionComplete(self) -> None:
        """There are no more addresses."""


class Resolver(Protocol):
    """`IHostnameResolver` as a type checker can read it."""

    def resolveHostName(
        self, receiver: Receiver, name: str, port: int, kinds: Sequence[type[IAddress]] | None, transport: str, /
    ) -> IHostResolution:
        """Gives the addresses of a name to the receiver."""
        ...


class Reactor(Protocol):
    """What is used of Twisted's reactor."""

    nameResolver: Resolver

    def installNameResolver(self, resolver: Resolver, /) -> object:
        """Replaces the resolver."""


@implementer(IResolutionReceiver)
class PublicAddresses:
    """Passes on the addresses that may be connected to and swallows the others."""

    def __init__(self, receiver: Receiver, name: str, settings: CrawlSettings, port: int = 80) -> None:
        self.receiver = receiver
        self.name = name
        self.settings = settings
        self.port = port

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Part of `IResolutionReceiver`."""
        self.receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:
        """Part of `IResolutionReceiver`."""
        reason = self.settings.why_refused(str(getattr(address, "host", "")), self.port)
        if reason is None:
            self.receiver.addressResolved(address)
        else:
            note_refusal(self.name, reason)

    def resolutionComplete(self) -> None:
        """Part of `IResolutionReceiver`."""
        self.receiver.resolutionComplete()


@implementer(IHostnameResolver)
class GuardedResolver:
    """Scrapy's `TWISTED_DNS_RESOLVER`: the reactor's own resolver behind `PublicAddresses`."""

    def __init__(self, reactor: Reactor, settings: CrawlSettings) -> None:
        self.reactor = reactor
        self.inner = reactor.nameResolver
        self.settings = settings

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: Reactor) -> "GuardedResolver":
        """Built by Scrapy."""
        return cls(reactor, crawler.settings["UNCLIP_SETTINGS"])

    def install_on_reactor(self) -> None:
        """Called by Scrapy before the reactor starts."""
        self.reactor.installNameResolver(self)

    def resolveHostName(
        self,
        resolutionReceiver: Receiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Part of `IHostnameResolver`."""
        guarded = PublicAddresses(resolutionReceiver, hostName, self.settings, portNumber)
        refusals.pop(hostName, None)
        return self.inner.resolveHostName(guarded, hostName, portNumber, addressTypes, transportSemantics)
