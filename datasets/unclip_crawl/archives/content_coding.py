"""Content coding: what an archived answer holds once its transfer and content encodings are undone, within bounds.

Archives are written by many hands: headers stay when the encoding they name is gone, and bodies are cut. What can be read is read.
"""

import io
import re
import zlib
from collections import Counter

MAX_BODY = 10 * 2**20
_CHUNK = re.compile(rb"\s*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


def dechunked(body: bytes, damage: Counter[str]) -> bytes:
    """The body without chunk sizes; as it is when it has none, and up to the damage when they are wrong."""
    parts, at = list[bytes](), 0
    while True:
        found = _CHUNK.match(body, at)
        if found is None:
            if at:
                damage["damaged_chunks"] += 1
            return b"".join(parts) if at else body
        size = int(found.group(1), 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size
        if at > len(body):
            damage["damaged_chunks"] += 1
            return b"".join(parts)


def _inflated(body: bytes, wbits: int) -> bytes | None:
    """At most `MAX_BODY` bytes of all members; what could be read of a damaged body, None when it is no such body at all."""
    whole, rest = b"", body
    while rest and len(whole) < MAX_BODY:
        member = zlib.decompressobj(wbits)
        try:
            whole += member.decompress(rest, MAX_BODY - len(whole))
        except zlib.error:
            return whole + _piecewise(rest, wbits, MAX_BODY - len(whole)) or None
        rest = member.unused_data if member.eof and wbits == 31 else b""
    return whole


def _piecewise(body: bytes, wbits: int, room: int) -> bytes:
    """What a damaged body gives up to the damage: zlib drops what it has when it fails, so it is fed little by little."""
    member, given = zlib.decompressobj(wbits), list[bytes]()
    for start in range(0, len(body), 512):
        try:
            given.append(member.decompress(body[start : start + 512], room))
        except zlib.error:
            break
        room -= len(given[-1])
        if room <= 0 or member.eof:
            break
    return b"".join(given)


def _unbrotlied(body: bytes) -> bytes | None:
    """As `_inflated`, for brotli."""
    from fastwarc.stream_io import BrotliReader

    given = list[bytes]()
    try:
        reader = BrotliReader(io.BytesIO(body))
        while (data := reader.read(65536)) and sum(map(len, given)) < MAX_BODY:
            given.append(data)
    except OSError:
        pass
    return b"".join(given)[:MAX_BODY] or None


def _decoded(body: bytes, coding: str) -> bytes | None:
    """The body without one content coding; None when it does not have it."""
    if coding in ("gzip", "x-gzip"):
        return _inflated(body, 31) if body.startswith(b"\x1f\x8b") else None
    if coding == "deflate":
        return _inflated(body, 15) or _inflated(body, -15)
    return _unbrotlied(body) if coding == "br" else None


def plain_body(body: bytes, transfer: str, content: str, damage: Counter[str]) -> bytes:
    """At most `MAX_BODY` bytes of the body as the server meant it; `transfer` and `content` are the two encoding headers."""
    if "chunked" in transfer.lower():
        body = dechunked(body, damage)
    for coding in reversed([name.strip().lower() for name in content.split(",")]):
        if coding in ("", "identity", "none", "utf-8"):
            continue
        decoded = _decoded(body, coding) if body else body
        if decoded is None and coding not in ("gzip", "x-gzip", "deflate", "br"):
            damage["unknown_content_encoding"] += 1
        body = body if decoded is None else decoded
    return body[:MAX_BODY]
