"""Addresses: which ones a crawled link may lead to."""

import re
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

NAT64 = ip_network("64:ff9b::/96")
MAX_URL = 4096
cache_of_hosts = lru_cache(maxsize=4096)
_NUMERIC = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, 6to4, Teredo or NAT64."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo is not None else None)


@cache_of_hosts
def why_refused(host: str, allow_loopback: bool) -> str | None:
    """Why an IP address (as text) may not be connected to, or None; loopback passes only when allowed, other private ranges never."""
    address = ip_address(host.partition("%")[0])
    inner = _embedded(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return why_refused(str(inner), allow_loopback)
    if address.is_loopback:
        return None if allow_loopback else f"{host} is a loopback address"
    if address.is_link_local:
        return f"{host} is a link-local address"
    if not address.is_global or address.is_multicast:
        return f"{host} is not a public address"
    return None


@cache_of_hosts
def is_address(host: str) -> bool:
    """Whether the host is written as an IP address rather than a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@cache_of_hosts
def address_in(host: str) -> str | None:
    """The IP address that a host is written as, in its plain spelling, or None: 2130706433, 0x7f.1 and 127.1 are 127.0.0.1."""
    if is_address(host):
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if _NUMERIC.fullmatch(host) else None
    except OSError:
        return None


@cache_of_hosts
def is_loopback(host: str) -> bool:
    """Whether the host, as written, is this very machine."""
    return host == "localhost" or (is_address(host) and ip_address(host.partition("%")[0]).is_loopback)


def host_of(url: str) -> str:
    """The host of an address without port and brackets, lower case; empty when there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def port_of(url: str) -> int:
    """The port of a valid address, stated or the scheme's own."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def site_of(url: str) -> str:
    """Scheme, host and port: what two pages share when they belong to one site."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname or ''}:{port}"


def why_invalid(url: str) -> str | None:
    """Why a text is no address we can fetch, or None."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https"):
        return f"the scheme {parts.scheme!r} is neither http nor https" if parts.scheme else "there is no scheme"
    if not host:
        return "there is no host"
    if parts.username is not None or parts.password is not None:
        return "there is a user name or password in it"
    if len(url) > MAX_URL:
        return f"{len(url)} characters are more than {MAX_URL}"
    return "there is a control character in it" if _CONTROL.search(url) else None


def is_remote(address: str) -> bool:
    """Whether the address leads off this machine's disk."""
    return address.startswith(("http://", "https://", "s3://"))


def is_shard(address: str) -> bool:
    """Whether the name is that of a shard."""
    return address.endswith((".tar", ".tar.gz", ".tgz"))
