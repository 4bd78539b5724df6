"""Check of prompts: a text is undisguised, then searched for what the policy does not allow."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from unclip_safety.policy import Refusal, Rule, SafetyPolicy, word_digest

# letters of other alphabets that look like Latin ones
_LOOKALIKES = str.maketrans("абвгеёзикмнопрстухьіѕјԁѵһαβγεηικνορτυχωı", "a6breezukmhonpctyxbisjdvhabyeniknoptuxwi")
_LEET = str.maketrans(
    {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "@": "a", "$": "s", "!": "i", "€": "e", "+": "t", "|": "i"}
)
_LEET_L = _LEET | str.maketrans({"1": "l", "!": "l", "|": "l"})
_DISGUISED = re.compile(r"\S*[a-z]\S*")
_NOT_WORD = re.compile(r"[^\w]+|_+")
_INNER_MARK = re.compile(r"(?<=\w)[^\w\s]+(?=\w)|_")
_SPACED_OUT = re.compile(r"(?<!\S)(?:\S[ ]+){2,}\S(?!\S)")
_LONG_RUN = re.compile(r"([a-z])\1{2,}")

Refuse = Callable[[str], Refusal | None]


def plain(text: str) -> str:
    """Lower-case Latin text: compatibility forms folded (NFKC), invisible characters and accents removed, look-alike letters replaced."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    visible = "".join(letter for letter in folded if unicodedata.category(letter) not in ("Cf", "Cc") or letter.isspace())
    decomposed = unicodedata.normalize("NFD", visible)
    return "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn").translate(_LOOKALIKES)


def words(text: str) -> str:
    """The words, one space between them: everything that is neither a letter nor a digit is a gap."""
    return _NOT_WORD.sub(" ", text).strip()


def _joined(text: str) -> str:
    """Spaced-out words in one piece: 'b a d', 'b.a.d' and 'ba-d' become 'bad'."""
    closed = _INNER_MARK.sub("", text)
    return _SPACED_OUT.sub(lambda match: match.group().replace(" ", ""), closed)


def views(text: str) -> list[str]:
    """Every way the text may be read, as space-separated lower-case words, each once, the plain reading first."""
    base = plain(text)
    leet = [_DISGUISED.sub(lambda match, table=table: match.group().translate(table), base) for table in (_LEET, _LEET_L)]
    readings = [base, *leet]
    readings += [_joined(reading) for reading in (base, words(base), *leet)]
    readings += [_LONG_RUN.sub(repeat, reading) for reading in tuple(readings) for repeat in (r"\1", r"\1\1")]
    return list(dict.fromkeys(words(reading) for reading in readings))


def _pattern(phrases: Iterable[str]) -> re.Pattern[str] | None:
    """Matches any of the phrases at word boundaries in the output of `views`; None when there is none."""
    parts = [re.escape(words(plain(phrase.rstrip("*")))) + (r"\w*" if phrase.endswith("*") else "s?") for phrase in phrases]
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)") if parts else None


def _search(pattern: re.Pattern[str] | None, readings: list[str]) -> bool:
    return pattern is not None and any(pattern.search(reading) for reading in readings)


def _matcher(rule: Rule) -> Callable[[list[str]], bool]:
    phrases = _pattern(rule.phrases)
    together = [(_pattern(first), _pattern(second)) for first, second in rule.together]

    def matches(readings: list[str]) -> bool:
        if _search(phrases, readings) or any(_search(first, readings) and _search(second, readings) for first, second in together):
            return True
        return any(
            word_digest(word) in rule.digests or word_digest(word.rstrip("s")) in rule.digests for text in readings for word in text.split()
        )

    return matches


def refuser(policy: SafetyPolicy) -> Refuse:
    """A function from a prompt to its refusal, or None when it may be painted.

    Harmless phrases of `policy.allow` are taken out first, so 'shooting star' passes and what stands beside it is still read.
    """
    allowed = _pattern(policy.allow)
    matchers = {name: _matcher(rule) for name, rule in policy.rules.items()}

    def refuse(prompt: str) -> Refusal | None:
        readings = [allowed.sub(" ", reading) for reading in views(prompt)] if allowed else views(prompt)
        for name, matches in matchers.items():
            if matches(readings):
                return Refusal(name, policy.prompt_message)
        return None

    return refuse
