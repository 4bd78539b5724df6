"""Compression: gzip as archives use it (one member per record, or one for the whole file), read on past damage."""

import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from unclip_crawl.sources.streams import Readable, Unreadable

PIECE = 256 * 1024
GZIP = b"\x1f\x8b\x08"
ZSTD = b"\x28\xb5\x2f\xfd"
JOINT = b"\r\n\r\n"


class Member(Protocol):
    """A gzip member while it is unpacked: what `zlib.decompressobj` gives, whose class has no public name."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        ...

    @property
    def unconsumed_tail(self) -> bytes:
        """What was given and not unpacked yet."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was given and lies behind the member's end."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most `max_length` unpacked bytes."""
        ...


@dataclass
class Plain:
    """The decompressed bytes of a source; what is not gzip comes through as it is.

    A damaged member ends where it is damaged and reading goes on at the next one; `damage` counts what happened, by name. Between the two
    stands an empty line, so that the next record is found by its first one. Memory: two pieces, however far a member unpacks.
    """

    source: Readable
    damage: Counter[str] = field(default_factory=Counter)
    _raw: bytes = b""
    _is_gzip: bool | None = None
    _member: Member | None = None
    _ended: bool = False

    def read(self, size: int = PIECE, /) -> bytes:
        """At most `size` bytes; b"" at the end, which is also where the source breaks off."""
        if self._is_gzip is None:
            self._begin()
        if not self._is_gzip:
            data = self._raw[:size] or self._more(size)
            self._raw = self._raw[size:]
            return data
        while True:
            data = self._unpacked(size)
            if data is not None:
                return data

    def _begin(self) -> None:
        while len(self._raw) < len(ZSTD) and (data := self._more()):
            self._raw += data
        if self._raw.startswith(ZSTD):
            self._raw, self._ended = b"", True
            self.damage["zstd_unsupported"] += 1
        self._is_gzip = self._raw.startswith(GZIP[:2])

    def _more(self, size: int = PIECE) -> bytes:
        """More of the source; b"" at its end."""
        if self._ended:
            return b""
        try:
            data = self.source.read(size)
        except Unreadable as error:
            self.damage[f"source_{error.reason}"] += 1
            data = b""
        self._ended = not data
        return data

    def _unpacked(self, size: int) -> bytes | None:
        """Some bytes, b"" at the end, or None when this step gave nothing."""
        if not self._raw:
            self._raw = self._more()
        if not self._raw:
            if self._member is not None:
                self.damage["truncated_gzip"] += 1
                self._member = None
            return b""
        member = self._member if self._member is not None else self._begun()
        if member is None:
            return None
        try:
            data = member.decompress(self._raw, size)
        except zlib.error:
            return self._past_damage()
        self._raw, self._member = member.unconsumed_tail, member
        if member.eof:
            self._raw, self._member = member.unused_data, None
        return data or None

    def _begun(self) -> Member | None:
        """Begins the member that the bytes at hand begin with; skips what stands between members (padding); None at the end."""
        while len(self._raw) < len(GZIP) and (data := self._more()):
            self._raw += data
        if not self._raw.startswith(GZIP):
            if self._raw.strip(b"\0\r\n"):
                self.damage["not_gzip"] += 1
            self._seek_member(0)
        return zlib.decompressobj(31) if self._raw else None

    def _past_damage(self) -> bytes:
        self.damage["damaged_gzip"] += 1
        self._member = None
        self._seek_member(1)
        return JOINT

    def _seek_member(self, start: int) -> None:
        """Drops bytes up to the next thing that begins like a member and unpacks like one."""
        while True:
            at = self._raw.find(GZIP, start)
            while at < 0 or len(self._raw) - at < 64:
                self._raw = self._raw[at:] if at >= 0 else self._raw[-2:]
                data = self._more()
                if not data:
                    if at < 0:
                        self._raw = b""
                        return
                    at = 0
                    break
                self._raw += data
                at = self._raw.find(GZIP)
            if _begins_member(self._raw[at : at + 4096]):
                self._raw = self._raw[at:]
                return
            start = at + 1


def _begins_member(head: bytes) -> bool:
    """Whether these bytes unpack into something."""
    try:
        return bool(zlib.decompressobj(31).decompress(head, 64))
    except zlib.error:
        return False
