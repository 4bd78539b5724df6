"""Captions of the starter corpus: sentences that name concept, attributes and style, and the bad ones to plant.

Vendors do not agree on colours (curly hair is brown here and ginger there), so nothing is said about them beyond the concept's own name.
"""

from unclip_starter.concepts import Concept, order

STYLE_WORDS = {
    "noto": ("softly shaded cartoon", "shaded cartoon", "soft cartoon", "gently shaded", "cartoon"),
    "fluent-flat": ("flat vector", "flat", "minimal flat", "flat vector-drawn", "clean flat"),
    "fluent-3d": ("glossy 3-D", "3-D rendered", "3d rendered", "shiny 3-D", "three-dimensional"),
    "twemoji": ("simple sticker-like", "sticker-like", "simple sticker", "sticker", "bright sticker-like"),
    "openmoji": ("outlined", "line-drawn and outlined", "line-drawn", "black-outlined", "thick-outlined"),
}
MEDIA = ("picture", "illustration", "drawing", "icon", "image")
SENTENCES = (
    "{a_style} {medium} of {thing}",
    "this {style} {medium} shows {thing}",
    "{thing}, drawn as {a_style} {medium}",
    "here you see {thing} in {a_style} {medium}",
    "{thing} shown as {a_style} {medium}",
    "{a_style} {medium} that shows {thing}",
    "the {style} {medium} of {thing}",
    "{thing} on a white background, {style} {medium}",
    "{a_style} {medium} with {thing} on it",
    "look at {thing} in this {style} {medium}",
)
FOREIGN = {
    "fr": ("Voici une belle image que nous avons trouvée : {label}", "Sur cette image vous voyez ceci : {label}, dessiné avec soin"),
    "de": ("Auf diesem schönen Bild sehen Sie Folgendes: {label}", "Das ist eine Zeichnung, die wir gerne mögen: {label}"),
    "es": ("En esta imagen tan bonita se puede ver esto: {label}", "Este es un dibujo que nos gusta mucho: {label}"),
    "it": ("In questa bella immagine si vede quello che cercate: {label}", "Questo è un disegno che ci piace molto: {label}"),
    "ru": ("На этой красивой картинке вы видите следующее: {label}", "Это рисунок, который нам очень нравится: {label}"),
    "pt": ("Nesta imagem muito bonita você pode ver isto: {label}", "Este é um desenho de que gostamos muito: {label}"),
    "pl": ("Na tym pięknym obrazku widać coś takiego: {label}", "To jest rysunek, który bardzo nam się podoba: {label}"),
    "nl": ("Op deze mooie afbeelding ziet u het volgende: {label}", "Dit is een tekening die wij heel graag zien: {label}"),
}
PEOPLE = ("anna.berg", "j.smith", "prints", "studio_north", "mail+shop", "lee.wong", "press")
DOMAINS = ("example.com", "example.org", "mail.example.net", "shop.example.co.uk")
BOILERPLATE = (
    "IMG_{number}.jpg",
    "DSC0{number}.JPG",
    "image{number}.png",
    "Screenshot 2024-05-{day} at 10.12.{day}.png",
    "click to enlarge",
    "Click here to view the full size image",
    "image",
    "photo",
    "untitled",
    "thumbnail",
    "no alt text provided for this image",
    "download",
    "stock photo",
    "Image may contain: one or more objects",
    "picture {number}",
)


def pick(choices: tuple[str, ...], seed: int, *names: object) -> str:
    """One of the choices, always the same for the same seed and names."""
    return choices[int(order(seed, *names)[:12], 16) % len(choices)]


def noun(label: str) -> str:
    """The label with its article, where it takes one: an apple, eyes, Statue of Liberty."""
    plural = label.endswith("s") and not label.endswith(("ss", "us", "is", "glasses"))
    if plural or label[0].isupper() or " and " in label:
        return label
    return f"{article(label)} {label}"


def article(words: str) -> str:
    """a or an."""
    vowel = words[0].lower() in "aeiou" and not words.lower().startswith(("uni", "one", "eu", "use"))
    return "an" if vowel else "a"


def thing(concept: Concept, tone: str | None = None) -> str:
    """The concept with its article and, when it has one, its skin tone."""
    return noun(concept.label) + (f" with {tone} skin tone" if tone else "")


def caption(concept: Concept, style: str, tone: str | None, seed: int) -> str:
    """A sentence that names the concept, its attributes and the style; the same for the same arguments."""
    names = (concept.id, style, tone)
    words = pick(STYLE_WORDS[style], seed, "style", *names)
    sentence = pick(SENTENCES, seed, "sentence", *names)
    medium = pick(MEDIA, seed, "medium", *names)
    return sentence.format(style=words, a_style=f"{article(words)} {words}", medium=medium, thing=thing(concept, tone))


def foreign_caption(labels: dict[str, dict[str, str]], code: str, number: int) -> str:
    """A sentence in the number-th language that names the concept."""
    languages = [language for language in FOREIGN if code in labels.get(language, {})] or list(FOREIGN)
    language = languages[number % len(languages)]
    sentences = FOREIGN[language]
    return sentences[number // len(languages) % len(sentences)].format(label=labels.get(language, {}).get(code, code))


def email_caption(true_caption: str, number: int) -> str:
    """The true caption with an e-mail address."""
    address = f"{PEOPLE[number % len(PEOPLE)]}@{DOMAINS[number % len(DOMAINS)]}"
    return (f"{true_caption}, write to {address} for prints", f"{true_caption} (contact: {address})", f"{address}: {true_caption}")[
        number % 3
    ]


def boilerplate_caption(number: int) -> str:
    """A caption that a program wrote, not a person."""
    return BOILERPLATE[number % len(BOILERPLATE)].format(number=2041 + 7 * number, day=10 + number % 20)
