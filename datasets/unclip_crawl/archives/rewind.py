"""Rewind buffer: plain bytes of an archive, the last of which can be read again, so that reading can go on behind damage."""

from collections import deque
from dataclasses import dataclass, field

from unclip_crawl.sources.streams import Readable

KEPT = 16 * 2**20
PIECE = 256 * 1024
RECORD = b"WARC/1."
START = b"\r\n\r\n" + RECORD


@dataclass
class RewindBuffer:
    """Reads on from `at`; the last `KEPT` bytes stay, from `start` to `end`. Positions count from the source's first byte."""

    source: Readable
    at: int = 0
    start: int = 0
    end: int = 0
    _pieces: deque[bytes] = field(default_factory=deque)

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; b"" at the end."""
        size = PIECE if size < 0 else size
        data = self._again(size) if self.at < self.end else self._on(size)
        self.at += len(data)
        return data

    def _again(self, size: int) -> bytes:
        offset = self.start
        for piece in self._pieces:
            if self.at < offset + len(piece):
                return piece[self.at - offset : self.at - offset + size]
            offset += len(piece)
        raise AssertionError("the buffer holds what lies before its end")

    def _on(self, size: int) -> bytes:
        data = self.source.read(size)
        if data:
            self._pieces.append(data)
            self.end += len(data)
        while self.end - self.start - len(self._pieces[0] if self._pieces else b"") > KEPT:
            self.start += len(self._pieces.popleft())
        return data

    def ends_well(self) -> bool:
        """Whether the last bytes are the empty lines that close a record."""
        tail = b""
        for piece in reversed(self._pieces):
            tail = piece[-4:] + tail
            if len(tail) >= 4:
                break
        return tail.endswith(b"\r\n\r\n")

    def tell(self) -> int:
        """Where reading goes on."""
        return self.at

    def seek_record(self, behind: int) -> bool:
        """Moves to the first line behind this position that begins a record; False when there is none up to the end."""
        self.at = place = max(behind, self.start)
        window = b""
        while (found := window.find(START)) < 0:
            cut = max(0, len(window) - len(START))
            window, place = window[cut:], place + cut
            data = self.read(PIECE)
            if not data:
                return False
            window += data
        self.at = place + found + len(START) - len(RECORD)
        return True
