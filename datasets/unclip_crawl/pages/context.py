"""Surroundings: the words before and after each picture of a page, found in one pass over its text."""

import re
from collections.abc import Sequence

import lxml.etree

LENGTH = 200
_MARK = "\ufdd0"  # a code point that no text may use; what a page puts there all the same is taken out first
_PLACES = re.compile(f"{_MARK}(\\d+){_MARK}")
_TEXTS = lxml.etree.XPath("//text()", smart_strings=False)
_UNSEEN = ("script", "style", "title", "textarea", "select")


class Surroundings:
    """The text of a page with its pictures' places. Takes scripts and styles out of the tree and marks places in it."""

    def __init__(self, tree: lxml.etree._Element, images: Sequence[lxml.etree._Element]) -> None:
        lxml.etree.strip_elements(tree, *_UNSEEN, lxml.etree.Comment, with_tail=False)
        for number, image in enumerate(images):
            image.tail = f"{_MARK}{number}{_MARK}{image.tail or ''}"
        self.text = ""
        self.places: dict[int, int] = {}
        self._gather(" ".join(_TEXTS(tree)), len(images))

    def _gather(self, marked: str, count: int) -> None:
        parts = _PLACES.split(marked)
        texts, length = list[str](), 0
        for place, part in zip(["", *parts[1::2]], parts[::2], strict=True):
            if place and int(place) < count:
                self.places.setdefault(int(place), length)
            flat = " ".join(part.split())
            if flat:
                texts.append(flat)
                length += len(flat) + 1
        self.text = " ".join(texts)

    def beginning(self, length: int = 1000) -> str:
        """The page's first words."""
        return self.text[:length]

    def before(self, number: int) -> str:
        """Up to `LENGTH` characters in front of the picture, in whole words."""
        end = self.places.get(number, 0)
        start = max(0, end - LENGTH - 1)
        text = self.text[start:end]
        return (text.partition(" ")[2] if start and " " in text else text).strip()

    def after(self, number: int) -> str:
        """Up to `LENGTH` characters behind the picture, in whole words."""
        start = self.places.get(number, 0)
        text = self.text[start : start + LENGTH + 1]
        return (text.rpartition(" ")[0] if start + LENGTH + 1 < len(self.text) and " " in text else text).strip()
