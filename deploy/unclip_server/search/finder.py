"""Finder: what the search page and clip-retrieval's service search with, and how their requests are read."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request

from unclip_curation.search.retrieval import SearchEngine, SearchQuery, SearchResult, Vector, search
from unclip_curation.search.visibility import Visibility
from unclip_pairs.errors import UserError
from unclip_server.stored_pictures import StoredPictures

QUERIES = 64  # pictures that were asked with and can still be linked to


@dataclass(frozen=True)
class Finder:
    """What the page searches with: an engine, what may be shown, a CLIP's two towers, the store's pictures, and the host it is served
    as."""

    engine: SearchEngine
    visibility: Visibility
    words: Callable[[str], Vector]
    picture: Callable[[bytes], Vector]
    pictures: StoredPictures
    host: str = "127.0.0.1"
    asked_with: "OrderedDict[str, Vector]" = field(default_factory=OrderedDict)

    def find(self, vector: Vector, asked: SearchQuery) -> list[SearchResult]:
        """The pairs nearest to the vector that may be shown; `UserError` for an index or a modality that is not there."""
        unknown = [name for name in asked.indices or [] if name not in self.engine.indices]
        if unknown:
            raise UserError(f"there is no index {unknown[0]!r}; choose one of {', '.join(self.engine.indices)}")
        if asked.modality not in ("image", "text"):
            raise UserError(f"the modality {asked.modality!r} is not known; choose image or text")
        return search(self.engine, self.visibility, vector, asked)

    def shown_picture(self, key: str) -> tuple[bytes, str] | None:
        """The stored picture, or None when it is not there or may not be shown."""
        return self.pictures(key) if self.visibility.shown([{"key": key}]) else None

    def remember(self, data: bytes) -> str:
        """A name by which the page may ask with this picture for a while; the picture itself is not kept."""
        name = hashlib.sha256(data).hexdigest()[:20]
        self.asked_with[name] = self.picture(data)
        while len(self.asked_with) > QUERIES:
            self.asked_with.popitem(last=False)
        return name


async def read_body(request: Request, most: int) -> bytes:
    """The body of a request; `UserError` when it is longer."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise UserError(f"the request is longer than {most} bytes; send a smaller picture")
    return bytes(body)


def number(value: object, name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most` that a visitor gave, or the default; `UserError` when it is none."""
    if value in (None, ""):
        return default
    text = str(value)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise UserError(f"{name} is {text[:40]!r}, but must be a whole number from 1 to {most}")
    return int(text)
