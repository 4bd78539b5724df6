"""Takedowns: what must not be fetched, shown or learned from again, because somebody asked.

Every request is one file under `takedowns/`, written once and never changed, so that requests made at the same moment cannot lose each
other. A request holds no picture and no caption: the address, key, host or hash that was named, the keys it met, and the digests by which
the same bytes are known again elsewhere.
"""

import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import urldefrag, urlsplit

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import now, settings_digest
from unclip_pairs.store import Store

KINDS = ("url", "key", "host", "hash")
FOLDER = "takedowns/"
_HINTS = {
    "url": (r"https?://[^\s]+", "an address that begins with http:// or https://"),
    "key": (r"[0-9a-f]{20}", "20 hex digits, as `unclip data verdicts --why` shows them"),
    "host": (r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "a host name without port, such as pictures.example.org"),
    "hash": (r"[0-9a-f]{64}", "the SHA-256 of the picture's bytes, 64 hex digits"),
}


@dataclass(frozen=True, kw_only=True)
class Takedown:
    """One request: what was named (`kind`, `value`), by whom and why, the keys it met with their addresses and the SHA-256 of their bytes,
    and what `learned` from them at the time."""

    kind: str
    value: str
    reason: str = ""
    requested_by: str = ""
    keys: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    created: str = field(default_factory=now)


@dataclass(frozen=True)
class Takedowns:
    """All requests of a store taken together."""

    requests: tuple[Takedown, ...]
    urls: frozenset[str]
    hosts: frozenset[str]
    keys: frozenset[str]
    sha256: frozenset[str]

    @property
    def digest(self) -> str | None:
        """The digest of what is forbidden; None when nothing is."""
        forbidden = [sorted(names) for names in (self.urls, self.hosts, self.keys, self.sha256)]
        return settings_digest(forbidden) if any(forbidden) else None

    def forbids(self, url: str) -> str | None:
        """Why an address must not be asked for, None when it may be."""
        if plain_url(url) in self.urls:
            return "taken down by request"
        host = host_name(url)
        under = next((name for name in self.hosts if host == name or host.endswith(f".{name}")), None)
        return f"everything from {under} was taken down by request" if under is not None else None


def plain_url(url: str) -> str:
    """The address as it is compared: without fragment, scheme and host in small letters."""
    parts = urlsplit(urldefrag(url.strip()).url)
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower(), path=parts.path or "/").geturl()


def host_name(url: str) -> str:
    """The host of an address in small letters, without port; empty when there is none."""
    return urlsplit(url.strip()).hostname or ""


def checked(kind: str, value: str) -> str:
    """The value as it is stored; `UserError` when it does not look like one of its kind."""
    value = value.strip() if kind == "url" else value.strip().lower().removeprefix("sha256:")
    pattern, hint = _HINTS[kind]
    if not re.fullmatch(pattern, value):
        raise UserError(f"--{kind} {value[:100]!r} is not {hint}; give it in that form")
    return plain_url(value) if kind == "url" else value


def record(store: Store, takedown: Takedown) -> str:
    """Writes the request; gives its name."""
    name = f"{FOLDER}{re.sub('[^0-9]', '', takedown.created)[:14]}-{time.time_ns()}-{secrets.token_hex(4)}.json"
    store.write_json(name, asdict(takedown))
    return name


def read_takedowns(store: Store) -> Takedowns:
    """Every request of the store, oldest first, and what they forbid together."""
    requests = tuple(_request(store.read_json(name)) for name in sorted(store.names(FOLDER)) if name.endswith(".json"))
    return Takedowns(
        requests,
        _values(requests, "url") | _all(request.urls for request in requests),
        _values(requests, "host"),
        _values(requests, "key") | _all(request.keys for request in requests),
        _values(requests, "hash") | _all(request.sha256 for request in requests),
    )


def _values(requests: Iterable[Takedown], kind: str) -> frozenset[str]:
    return frozenset(request.value for request in requests if request.kind == kind)


def _all(many: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset(value for values in many for value in values)


def _request(value: Mapping[str, object]) -> Takedown:
    known = {field.name: value[field.name] for field in fields(Takedown) if field.name in value}
    plain: dict[str, Any] = {name: tuple(found) if isinstance(found, list) else found for name, found in known.items()}
    return Takedown(**plain)
