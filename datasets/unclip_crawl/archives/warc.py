"""WARC: the records of a web archive, read once from front to back, on past what is damaged.

fastwarc parses; it ends at the first damage, and silently at the end of a file that was cut. So each record is held until the one behind
it has begun well, and after damage reading goes on at the next line that begins a record.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unclip_crawl.archives.compression import Plain
from unclip_crawl.archives.content_coding import MAX_BODY
from unclip_crawl.archives.rewind import START, RewindBuffer
from unclip_crawl.sources.streams import Readable

if TYPE_CHECKING:
    from fastwarc.warc import WarcRecord

_DAMAGE = (("gzip", "damaged_gzip"), ("header", "damaged_header"))


@dataclass(frozen=True)
class Record:
    """One record: its type and address, the content type and status of the HTTP answer in it (or its own type), the headers of the answer
    that matter here (lists of values by lower-case name), and at most `MAX_BODY` bytes of payload."""

    kind: str
    url: str
    content_type: str
    status: int | None
    headers: dict[str, tuple[str, ...]]
    payload: bytes = b""

    def value(self, name: str) -> str:
        """All values of a header in one line."""
        return ", ".join(self.headers.get(name, ()))


HEADERS = ("transfer-encoding", "content-encoding", "content-language", "x-robots-tag", "tdm-reservation")


def _head(raw: "WarcRecord") -> Record:
    """The record without its payload."""
    url = (raw.headers.get("WARC-Target-URI") or "").strip().strip("<>")
    kind = raw.headers.get("WARC-Type") or ""
    if not raw.is_http or not raw.is_http_parsed:
        return Record(kind.lower(), url, raw.headers.get("Content-Type") or "", None, {})
    answer = raw.http_headers
    headers = {name: answer.get_multiple(name) for name in HEADERS if name in answer}
    content_type = answer.get("Content-Type") or raw.headers.get("WARC-Identified-Payload-Type") or ""
    return Record(kind.lower(), url, content_type, answer.status_code, headers)


def _cut(record: Record) -> Record:
    """The record without what belongs to the next one, which a length that is too long takes in."""
    end = record.payload.find(START)
    return record if end < 0 else replace(record, payload=record.payload[:end])


def _raw_records(buffer: RewindBuffer) -> Iterator["WarcRecord"]:
    """fastwarc's records; their `stream_pos` is the buffer's."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    stream: Any = buffer  # fastwarc's types ask for more methods than it calls
    yield from ArchiveIterator(stream, WarcRecordType.any_type, parse_http=True, stream_detect=False, buffer_size=65536)


def _name(error: BaseException) -> str:
    text = str(error).lower()
    return next((name for word, name in _DAMAGE if word in text), "damaged_record")


@dataclass
class Archive:
    """An archive while it is read. `wants` says of a record without payload whether to read it; `damage` counts by name what was wrong,
    `found` counts the records by type."""

    source: Readable
    wants: Callable[[Record], bool]
    damage: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    _place: int = 0
    _is_broken: bool = False

    def records(self) -> Iterator[Record]:
        """The wanted records with their payload, as far as they can be read."""
        buffer = RewindBuffer(Plain(self.source, self.damage))
        while True:
            self._place, self._is_broken = buffer.at, False
            yield from self._run(buffer)
            if not self._is_broken or not buffer.seek_record(self._place + 1):
                break
        if not self.found and not self.damage:
            self.damage["no_record"] += 1
        elif not self.damage and not buffer.ends_well():
            self.damage["truncated_end"] += 1

    def _run(self, buffer: RewindBuffer) -> Iterator[Record]:
        """Records up to the end or up to damage."""
        held: Record | None = None
        iterator = _raw_records(buffer)
        while True:
            record, is_over = self._next(iterator)
            if held is not None:
                yield _cut(held) if self._is_broken and record is None else held
            if is_over:
                if record is not None:
                    yield _cut(record)
                return
            held = record

    def _next(self, iterator: Iterator["WarcRecord"]) -> tuple[Record | None, bool]:
        """The next record, if it is wanted, and whether reading is over."""
        try:
            raw = next(iterator, None)
            if raw is None:
                return None, True
            self._place = raw.stream_pos
            record, is_whole = self._opened(raw)
        except BaseException as error:
            # fastwarc panics where its authors did not think of something, and Rust's panic is no Exception
            if not isinstance(error, OSError | ValueError) and type(error).__name__ != "PanicException":
                raise
            self.damage[_name(error)] += 1
            self._is_broken = True
            return None, True
        if not is_whole:
            self.damage["truncated_record"] += 1
            self._is_broken = True
        return record, not is_whole

    def _opened(self, raw: "WarcRecord") -> tuple[Record | None, bool]:
        """The record if it is wanted, and whether all the bytes it promises are there."""
        head = _head(raw)
        self.found[head.kind or "unknown"] += 1
        promised = raw.content_length
        if not self.wants(head):
            return None, raw.consume() >= promised
        payload = raw.reader.read(min(MAX_BODY, promised))
        while len(payload) < min(MAX_BODY, promised) and (more := raw.reader.read(min(MAX_BODY, promised) - len(payload))):
            payload += more
        if promised > MAX_BODY:
            self.damage["body_cut_at_bound"] += 1
            return replace(head, payload=payload), raw.consume() >= promised - len(payload)
        return replace(head, payload=payload), len(payload) >= promised
