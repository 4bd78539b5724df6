"""Hash list: digests of known-illegal pictures, which are recognised before anything of them is stored.

The list is the operator's own file. It is read where it lies, never copied, and named in a manifest by its digest only.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.images import to_array

KINDS = {"sha256": 32, "md5": 16, "pdq": 32}
# the authors of PDQ take two pictures for the same up to 31 of 256 bits, and hashes under quality 50 for none
PDQ_DISTANCE = 31
PDQ_QUALITY = 50
PDQ_SIDE = 512
BANDS = 16
_FLIPS = np.array([0, *(1 << bit for bit in range(16))], dtype=np.uint16)


@dataclass(frozen=True)
class HashList:
    """The digests of one file: exact ones of the bytes, and PDQ hashes in an index of 16 bands."""

    digest: str
    exact: frozenset[bytes]
    pdq: NDArray[np.uint8]
    bands: tuple[tuple[NDArray[np.uint16], NDArray[np.int64]], ...]

    def lists_bytes(self, data: bytes) -> bool:
        """Whether the sha256 or md5 of fetched bytes is on the list."""
        return hashlib.sha256(data).digest() in self.exact or hashlib.md5(data, usedforsecurity=False).digest() in self.exact

    def lists_picture(self, image: Image.Image) -> bool:
        """Whether a PDQ hash within 31 bits of the picture's, or of its mirror image's, is on the list."""
        if not len(self.pdq):
            return False
        return any(self._lists_pixels(pixels) or self._lists_pixels(pixels[:, ::-1]) for pixels in _views(image))

    def _lists_pixels(self, pixels: NDArray[np.uint8]) -> bool:
        import pdqhash

        bits, quality = pdqhash.compute(np.ascontiguousarray(pixels))
        return quality >= PDQ_QUALITY and self.is_near(np.packbits(np.asarray(bits, dtype=np.uint8)))

    def is_near(self, hashed: NDArray[np.uint8]) -> bool:
        """By the pigeonhole principle two hashes within 31 bits agree, but for one bit, in one of 16 bands of 16 bits."""
        for (values, order), wanted in zip(self.bands, hashed.view(">u2"), strict=True):
            probes = np.uint16(wanted) ^ _FLIPS
            for first, last in zip(np.searchsorted(values, probes, "left"), np.searchsorted(values, probes, "right"), strict=True):
                rows = self.pdq[order[first:last]]
                if len(rows) and int(np.unpackbits(rows ^ hashed, axis=1).sum(axis=1).min()) <= PDQ_DISTANCE:
                    return True
        return False


def _views(image: Image.Image) -> Iterator[NDArray[np.uint8]]:
    """At 512 x 512, as PDQ's authors hash what is larger; and at its own size, as they and others hash what is smaller."""
    yield to_array(image.resize((PDQ_SIDE, PDQ_SIDE), Image.Resampling.BOX if min(image.size) > PDQ_SIDE else Image.Resampling.BILINEAR))
    if image.width * image.height <= 4 * PDQ_SIDE**2:
        yield to_array(image)


def read_hash_list(path: str) -> HashList:
    """The list in a text file, one `sha256 HEX`, `md5 HEX` or `pdq HEX` a line; empty lines and what follows a # do not count.

    `UserError` when it cannot be read whole or is empty: a crawl with a hash list never runs without it.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"the hash_list cannot be read ({error.strerror}); name a file that can, nothing is fetched without it") from error
    entries = [_entry(number, words) for number, line in enumerate(text.splitlines(), 1) if (words := _words(line))]
    if not entries:
        raise UserError("the hash_list names no hash; name the right file, or leave hash_list out when there is no list")
    pdq = np.frombuffer(b"".join(value for kind, value in entries if kind == "pdq"), dtype=np.uint8).reshape(-1, 32)
    return HashList(hashlib.sha256(text).hexdigest(), frozenset(value for kind, value in entries if kind != "pdq"), pdq, _banded(pdq))


def _banded(pdq: NDArray[np.uint8]) -> tuple[tuple[NDArray[np.uint16], NDArray[np.int64]], ...]:
    """For each band its values in order, and the rows they belong to."""
    words = pdq.view(">u2").astype(np.uint16)
    orderings = [np.argsort(words[:, band], kind="stable") for band in range(BANDS)]
    return tuple((words[order, band], order) for band, order in enumerate(orderings))


def _words(line: bytes) -> list[bytes]:
    return re.split(rb"[\s:,]+", line.partition(b"#")[0].strip().lower()) if line.partition(b"#")[0].strip() else []


def _entry(number: int, words: list[bytes]) -> tuple[str, bytes]:
    """One line as kind and digest; an error names the line and does not repeat what it says."""
    kind = words[0].decode("ascii", "replace")
    if len(words) != 2 or kind not in KINDS or not re.fullmatch(rb"[0-9a-f]{%d}" % (2 * KINDS[kind]), words[1]):
        raise UserError(f"line {number} of the hash_list is none of sha256 HEX, md5 HEX and pdq HEX; put it right, then crawl")
    return kind, bytes.fromhex(words[1].decode())
