"""Caption candidates: every text of a page that could caption a picture, measured as captions are.

A page describes a picture more than once: in its alt text, its title, the figure's caption and the sentences around it. The caption itself
is measured by `captions` and `wording`; here are the others, by the same functions.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from unclip_curation.schemas import CAPTION_CANDIDATES_SCHEMA
from unclip_curation.scorers.captions import describe, language_detector, normalised
from unclip_curation.scorers.runner import Row, Score, Scorer, each
from unclip_curation.scorers.wording import describe_wording
from unclip_pairs.shards import Sample

LONGEST_SENTENCE = 200
_ENDS = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")
_WORD = re.compile(r"[^\W_]+")
# Words that say nothing of what a picture shows: the frequent ones of English, and those for pictures as such.
_EMPTY = """a about above after all also an and any are as at be been before below beside between both but by can do does for from had has
have he her here him his how i if in into is it its just like more most my near next no not of off on one only onto or other our out over
own shows showing shown she so some such than that the their them then there these they this those through to too under up very was we were
what when where which while who whose why will with without you your
picture image photo photograph pic icon logo drawing illustration figure graphic emoji clipart vector"""
STOP_WORDS = frozenset(_EMPTY.split())


@dataclass(frozen=True)
class Candidate:
    """A text beside the caption, and the column of the crawl that holds it."""

    source: str
    text: str


def content_words(text: str) -> set[str]:
    """The words that say something, in lower case and without a plural's s."""
    found = (word for word in _WORD.findall(normalised(text)) if len(word) > 1)
    singular = (word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word for word in found)
    return {word for word in singular if word not in STOP_WORDS and f"{word}s" not in STOP_WORDS}


def last_sentence(text: str) -> str:
    """The last sentence of what stands before a picture, or "": it ends with a full stop, is no longer than `LONGEST_SENTENCE`, and its
    beginning is there: another sentence ends before it, or it begins with a capital."""
    before, sentence = ["", *_ENDS.split(text.strip())][-2:]
    return sentence if _is_sentence(sentence) and (before or sentence[0].isupper()) else ""


def first_sentence(text: str) -> str:
    """The first sentence of what stands behind a picture, or "": it ends with a full stop and is no longer than `LONGEST_SENTENCE`."""
    sentence = _ENDS.split(text.strip())[0]
    return sentence if _is_sentence(sentence) else ""


def _is_sentence(text: str) -> bool:
    return text.endswith(".") and not text.endswith("..") and len(text) <= LONGEST_SENTENCE


def candidates_of(sample: Mapping[str, object]) -> list[Candidate]:
    """What the page of a sample says beside its caption: alt, title, figure's caption, the sentence before and the one behind, without
    the caption itself and without repeats (letter case and full stop do not count)."""
    caption = sample["txt"]
    assert isinstance(caption, bytes)
    seen, found = {_plain(caption.decode())}, list[Candidate]()
    for source, text in _offered(sample):
        if (plain := _plain(text)) and plain not in seen:
            seen.add(plain)
            found.append(Candidate(source, text))
    return found


def _offered(sample: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    texts = {name: str(sample.get(name) or "").strip() for name in ("alt", "title", "figcaption", "text_before", "text_after")}
    yield from ((name, texts[name]) for name in ("alt", "title", "figcaption"))
    yield "text_before", last_sentence(texts["text_before"])
    yield "text_after", first_sentence(texts["text_after"])


def _plain(text: str) -> str:
    return normalised(text).rstrip(" .!")


def load_caption_candidates() -> Score:
    """The batch function of the caption candidates' scorer."""
    detect = language_detector()

    def measured(sample: Sample) -> Row:
        own = content_words(sample["txt"].decode())
        rows = list[Row]()
        for one in candidates_of(sample):
            words = content_words(one.text)
            facts = {"source": one.source, "text": one.text, "content_words": len(words)}
            facts["agreement"] = len(own & words) / len(own) if own else 0.0
            rows.append(facts | describe(one.text, detect) | describe_wording(one.text))
        return {"key": sample["__key__"], "candidates": rows}

    return each(measured)


CAPTION_CANDIDATES = Scorer(
    name="caption_candidates",
    version=1,
    schema=CAPTION_CANDIDATES_SCHEMA,
    load=load_caption_candidates,
    about="the page's other texts for a picture (alt, title, figure's caption, sentences around), measured as captions are",
    cost="0.3 ms a candidate",
    reads="caption",
)
