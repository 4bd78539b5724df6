"""What a caption's wording gives away: personal data, and words that only repeat each other."""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise

from phonenumbers import Leniency, PhoneNumberMatcher

from unclip_curation.schemas import WORDING_SCHEMA
from unclip_curation.scorers.captions import EMAIL
from unclip_curation.scorers.runner import Score, Scorer, each

# Numbers without a country code are read as one of these countries'.
PHONE_REGIONS = ("US", "GB")
_CARD = re.compile(r"(?<![\d.,/-])\d(?:[ -]?\d){12,18}(?![\d/-]|[.,]\d)")
_CARD_BEGINS = re.compile(r"^(?:4|5[1-5]|2[2-7]|3[47]|3[068]|6(?:011|4|5|2)|35)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){3,7})(?![\w.:]*\w)")
_DIGITS = re.compile(r"(?:\d\D{0,3}){6}\d")


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of a payment card's number (ISO/IEC 7812)."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def has_card(text: str) -> bool:
    """Whether a number has a card network's first digits, 13 to 19 digits and the right check digit."""
    numbers = (re.sub(r"\D", "", found.group()) for found in _CARD.finditer(text))
    return any(_CARD_BEGINS.match(number) and len(set(number)) > 1 and luhn(number) for number in numbers)


def has_iban(text: str) -> bool:
    """Whether an account number has the right remainder (ISO 7064, modulo 97); words that follow it are tried away."""
    return any(_is_iban(candidate) for found in _IBAN.finditer(text) for candidate in _shortened(found.group()))


def _shortened(found: str) -> Iterator[str]:
    parts = found.split(" ")
    yield from ("".join(parts[:count]) for count in range(len(parts), 0, -1))


def _is_iban(candidate: str) -> bool:
    if not 15 <= len(candidate) <= 34:
        return False
    turned = candidate[4:] + candidate[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def has_ip(text: str) -> bool:
    """Whether an address of version 4 or 6 stands in the text."""
    return any(_is_ip(found.group()) for found in _IP.finditer(text))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def has_phone(text: str) -> bool:
    """Whether a number that could be dialled stands in the text (libphonenumber's rules; without country code, `PHONE_REGIONS`)."""
    if not _DIGITS.search(text) or has_card(text) or has_iban(text):
        return False
    return any(PhoneNumberMatcher(text, region, Leniency.VALID).has_next() for region in PHONE_REGIONS)


PERSONAL: dict[str, Callable[[str], bool]] = {
    "email": lambda text: bool(EMAIL.search(text)),
    "phone": has_phone,
    "card": has_card,
    "iban": has_iban,
    "ip": has_ip,
}


def personal(text: str) -> list[str]:
    """The kinds of `PERSONAL` that the caption holds."""
    flat = unicodedata.normalize("NFKC", text)
    return [kind for kind, holds in PERSONAL.items() if holds(flat)]


def repeated_share(text: str) -> float:
    """The share, 0..1, of pairs of neighbouring words that stood before in the same caption; 0 below four words."""
    words = re.findall(r"\w+", text.casefold())
    pairs = list(pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if len(words) > 3 else 0.0


def describe_wording(text: str) -> dict[str, object]:
    """The columns of `WORDING_SCHEMA` but `key`."""
    return {"personal": personal(text), "repeated_share": repeated_share(text)}


def load_wording() -> Score:
    """The batch function of the wording scorer."""
    return each(lambda sample: {"key": sample["__key__"]} | describe_wording(sample["txt"].decode()))


WORDING = Scorer(
    name="wording",
    version=1,
    schema=WORDING_SCHEMA,
    load=load_wording,
    about="personal data in the caption (e-mail, phone, card, IBAN, IP) and repetition",
    cost="0.15 ms a caption",
    reads="caption",
)
