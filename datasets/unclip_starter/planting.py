"""Planting: the figures of the starter site, good ones and ones with a known defect, and what should become of each."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TypedDict, Unpack

from unclip_pairs.store import Store, explained
from unclip_starter.captions import boilerplate_caption, email_caption, foreign_caption
from unclip_starter.concepts import Concept, order
from unclip_starter.defects import blank_picture, bomb_picture, broken_picture, near_copy, stand_in
from unclip_starter.packages import STYLE_PACKAGES
from unclip_starter.scenes.scene import COUNT, PLAIN, SINGLE, Scene
from unclip_starter.scenes.sentences import Candidates

PER_PAGE = 20
CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
DENIED_LICENCES = (
    "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    "https://rightsstatements.org/vocab/InC/1.0/",
    "https://creativecommons.org/licenses/by-nc/4.0/",
)
# of the pictures that are drawn here, so that an unstated licence is not what drops them
OWN_LICENCE = "https://creativecommons.org/publicdomain/zero/1.0/"
GOOD = "ok"


@dataclass(frozen=True, kw_only=True)
class Route:
    """What the server answers: a file, a redirect, or a body too long in coming (`slow`) or in length (`huge`)."""

    do: str = "file"
    file: str = ""
    content_type: str = "image/png"
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One drawn picture: its concept (the first thing's), style and file under `starter/site`, and the captions that pages have for it
    and for a copy of it. `held_out` is the kind of its combination that is kept from training; `scene` is None for a spare one."""

    concept: Concept
    style: str
    tone: str | None
    file: str
    captions: Candidates
    more_captions: Candidates
    scene: Scene | None = None
    held_out: str | None = None

    @property
    def caption(self) -> str:
        """What stands in alt."""
        return self.captions.alt


class FigureParts(TypedDict, total=False):
    """What a `Figure` says beside its address, its routes and its picture."""

    captions: Candidates
    true_captions: tuple[str, ...]
    expected: str
    planted: str | None
    split: str
    licence: str | None
    duplicate_of: str | None


class GroundTruth(TypedDict):
    """A row of truth.parquet; `concept`, its label and `style` are None for a figure without a drawn picture.

    `captions` (all true ones that the site publishes, `true_caption` first), `attributes` and `scene` are JSON; `held_out` is the kind of
    combination that is kept from training.
    """

    url_path: str
    page_path: str
    caption: str
    true_caption: str
    captions: str
    concept: str | None
    concept_label: str | None
    style: str | None
    attributes: str
    scene: str | None
    split: str
    held_out: str | None
    planted: str | None
    expected: str
    duplicate_of: str | None
    licence: str | None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture as it is published, with the ground truth about it: what describes it, the first as alt would, and whether it is planted
    (None for a good one)."""

    url_path: str
    captions: Candidates
    true_captions: tuple[str, ...]
    routes: dict[str, Route]
    expected: str = GOOD
    planted: str | None = None
    picture: Picture | None = None
    split: str = "train"
    licence: str | None = None
    duplicate_of: str | None = None

    @property
    def caption(self) -> str:
        """What stands in alt."""
        return self.captions.alt

    def ground_truth(self, page_path: str) -> GroundTruth:
        """The row of truth.parquet."""
        shown = self.picture
        attributes = attributes_of(shown) if shown else {}
        return {
            "url_path": self.url_path,
            "page_path": page_path,
            "caption": self.caption,
            "true_caption": self.true_captions[0],
            "captions": json.dumps(self.true_captions, ensure_ascii=False),
            "concept": shown.concept.id if shown else None,
            "concept_label": shown.concept.label if shown else None,
            "style": shown.style if shown else None,
            "attributes": json.dumps(attributes, sort_keys=True),
            "scene": json.dumps(shown.scene.as_json()) if shown and shown.scene else None,
            "split": self.split,
            "held_out": shown.held_out if shown else None,
            "planted": self.planted,
            "expected": self.expected,
            "duplicate_of": self.duplicate_of,
            "licence": self.licence,
        }


def attributes_of(picture: Picture) -> dict[str, str]:
    """What is known about a picture beside its concept and style, as text: its credit, and what its scene combines, so that no training
    picture has concept, style and attributes of a held-out one."""
    known = picture.concept.attributes(picture.tone) | {"credit": STYLE_PACKAGES[picture.style].credit}
    scene = picture.scene
    if scene is None:
        return known
    known |= {"scene": scene.kind, "background": scene.background}
    if scene.relation:
        known["relation"] = scene.relation
    return known | ({"count": str(len(scene.things))} if scene.kind == COUNT else {})


def figure(
    picture: Picture, seed: int, *, folder: str = "media", salt: str = "", route: Route | None = None, **differing: Unpack[FigureParts]
) -> Figure:
    """The picture under an address of its own; `differing` says what differs from a good figure."""
    extension = PurePosixPath(picture.file).suffix
    path = f"/{folder}/{order(seed, 'path', salt, picture.file)[:12]}{extension}"
    plain = Route(file=picture.file, content_type=CONTENT_TYPES[extension[1:]])
    licence = STYLE_PACKAGES[picture.style].licence
    known: FigureParts = {"captions": picture.captions, "true_captions": picture.captions.true, "licence": licence, **differing}
    return Figure(url_path=path, picture=picture, routes={path: route or plain}, **known)


def shown(one: Figure) -> Picture:
    """The drawn picture of a figure that has one."""
    assert one.picture is not None
    return one.picture


def is_of_one_thing(one: Figure) -> bool:
    """Whether its picture shows one thing of the corpus."""
    scene = shown(one).scene
    return scene is not None and scene.kind in (PLAIN, SINGLE)


def is_plain(one: Figure) -> bool:
    """Whether its picture is one thing that fills it, on white, of which a copy in another brightness stays near."""
    scene = shown(one).scene
    return scene is not None and scene.kind == PLAIN


def misaligned(figures: Sequence[Figure], pages: int, seed: int) -> list[list[Figure]]:
    """`pages` lists of figures whose captions have slipped: each stands under the caption of another concept of another group."""
    slipped = list[list[Figure]]()
    for number in range(pages):
        page = sorted(figures[number * PER_PAGE : (number + 1) * PER_PAGE], key=lambda one: shown(one).concept.group)
        captions = [page[(index + len(page) // 2) % len(page)].captions for index in range(len(page))]
        wrong = [replace(one, captions=theirs, true_captions=one.true_captions[:1]) for one, theirs in zip(page, captions, strict=True)]
        wrong = [replace(one, planted="wrong_caption", expected="caption_mismatch") for one in wrong]
        slipped.append(sorted(wrong, key=lambda one: order(seed, "slipped", one.url_path)))
    return slipped


@dataclass(frozen=True, kw_only=True)
class PlantingMaterials:
    """What planting draws on: spare pictures that are in no other figure, good figures to copy, labels of other languages."""

    store: Store
    spare: Sequence[Picture]
    good: Sequence[Figure]
    foreign: dict[str, dict[str, str]]
    size: int
    count: int
    seed: int

    @property
    def few(self) -> int:
        """How many of the kinds that cost a crawler time."""
        return max(2, self.count // 7)

    def bytes_of(self, picture: Picture) -> bytes:
        """The picture's file."""
        return self.store.read_bytes(f"starter/site/{picture.file}")

    def own(self, name: str, data: bytes) -> Route:
        """A route to a file made for one figure."""
        file = f"planted/{name}"
        path = self.store.local_path(f"starter/site/{file}")
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Route(file=file, content_type=CONTENT_TYPES[name.rpartition(".")[2]])


def bad_captions(materials: PlantingMaterials) -> Iterator[Figure]:
    """E-mail, boilerplate and foreign captions, each under a picture that is nowhere else."""
    count, seed, spare = materials.count, materials.seed, materials.spare
    for number in range(count):
        text = email_caption(spare[number].caption, number)
        yield figure(spare[number], seed, captions=Candidates(alt=text), planted="email_caption", expected="caption_email")
        picture = spare[count + number]
        text = boilerplate_caption(number)
        yield figure(picture, seed, captions=Candidates(alt=text), planted="boilerplate_caption", expected="caption_boilerplate")
        picture = spare[2 * count + number]
        text = foreign_caption(materials.foreign, picture.concept.id, number)
        yield figure(picture, seed, captions=Candidates(alt=text), planted="foreign_caption", expected="caption_language")


def denied(materials: PlantingMaterials) -> list[Figure]:
    """Pictures under a licence that no training may use."""
    pictures = materials.spare[3 * materials.count : 4 * materials.count]
    licences = itertools.cycle(DENIED_LICENCES)
    return [
        figure(picture, materials.seed, licence=licence, planted="denied_licence", expected="licence_denied")
        for picture, licence in zip(pictures, licences, strict=False)
    ]


def opted_out(materials: PlantingMaterials) -> tuple[list[Figure], list[Figure], list[Figure]]:
    """Pictures that must not be stored: by robots.txt, by the picture's header, by the page's meta tag."""
    pictures, third = materials.spare[4 * materials.count : 5 * materials.count], materials.count // 3
    by_robots = [figure(one, materials.seed, folder="private", planted="opted_out", expected="robots_denied") for one in pictures[:third]]
    by_header = list[Figure]()
    for picture in pictures[third : 2 * third]:
        plain = figure(picture, materials.seed, planted="opted_out", expected="opt_out")
        routes = {path: replace(route, headers={"X-Robots-Tag": "noai, noimageai"}) for path, route in plain.routes.items()}
        by_header.append(replace(plain, routes=routes))
    by_page = [figure(picture, materials.seed, planted="opted_out", expected="opt_out") for picture in pictures[2 * third :]]
    return by_robots, by_header, by_page


def copies(materials: PlantingMaterials) -> Iterator[Figure]:
    """Exact copies under another address, and slightly changed ones, of good figures; the original is named in `duplicate_of`."""
    originals = filter(is_plain, materials.good)
    for number, original in zip(range(materials.count), originals, strict=False):
        picture = shown(original)
        route = Route(file=picture.file, content_type=CONTENT_TYPES[picture.file.rpartition(".")[2]])
        yield _copy(original, materials, f"again {number}", route, "exact_duplicate", "duplicate_exact")
    for number, original in zip(range(materials.count * 4 // 3), originals, strict=False):
        data, extension = near_copy(materials.bytes_of(shown(original)), number)
        route = materials.own(f"near-{number}.{extension}", data)
        yield _copy(original, materials, f"near {number}", route, "near_duplicate", "duplicate_perceptual")


def _copy(original: Figure, materials: PlantingMaterials, salt: str, route: Route, planted: str, expected: str) -> Figure:
    picture = shown(original)
    path = f"/archive/{order(materials.seed, salt)[:12]}.{route.file.rpartition('.')[2]}"
    return replace(
        original,
        url_path=path,
        captions=picture.more_captions,
        true_captions=picture.more_captions.true,
        routes={path: route},
        planted=planted,
        expected=expected,
        duplicate_of=original.url_path,
    )


def unfetchable(materials: PlantingMaterials) -> Iterator[Figure]:
    """Pictures that no crawler gets: slow, broken, huge, redirected in circles, missing."""
    spares = itertools.cycle(materials.spare)

    def plant(salt: str, planted: str, expected: str, route: Route) -> Figure:
        return figure(next(spares), materials.seed, folder="files", salt=salt, route=route, planted=planted, expected=expected)

    for number in range(materials.few):
        yield plant(f"slow {number}", "slow", "timeout", Route(do="slow"))
        if number % 2:
            yield plant(f"huge {number}", "huge", "too_many_pixels", materials.own(f"huge-{number}.png", bomb_picture(number)))
        else:
            yield plant(f"huge {number}", "huge", "too_large", Route(do="huge"))
        yield _loop(plant(f"loop {number}", "redirect_loop", "redirect_error", Route()), number)
    for number in range(materials.count):
        yield replace(plant(f"missing {number}", "missing", "http_error", Route()), routes={})
        data = broken_picture(materials.bytes_of(materials.spare[number]), number)
        expected = "not_an_image" if data.startswith(b"<!DOCTYPE") else "decode_error"
        yield plant(f"broken {number}", "broken", expected, materials.own(f"broken-{number}.png", data))


def _loop(one: Figure, number: int) -> Figure:
    """A picture that sends to itself, or to another that sends back."""
    other = f"{one.url_path}.moved" if number % 2 else one.url_path
    routes = {one.url_path: Route(do="redirect", location=other), other: Route(do="redirect", location=one.url_path)}
    return replace(one, routes=routes)


def synthetic(materials: PlantingMaterials) -> Iterator[Figure]:
    """Blank pictures and the patterns that stand in for explicit ones, both under harmless captions."""
    makers: tuple[tuple[str, str, str, Callable[[int, int], bytes], str], ...] = (
        ("blank", "blank", "a blank picture of one colour", blank_picture, "png"),
        ("explicit_stand_in", "explicit", "an abstract pattern that stands in for an explicit picture", stand_in, "jpg"),
    )
    for planted, expected, true_caption, make, extension in makers:
        for number in range(materials.count):
            route = materials.own(f"{planted}-{number}.{extension}", make(number, materials.size))
            path = f"/uploads/{order(materials.seed, planted, number)[:12]}.{extension}"
            text = materials.spare[-1 - number % len(materials.spare)].caption
            known: FigureParts = {
                "captions": Candidates(alt=text),
                "true_captions": (true_caption,),
                "licence": OWN_LICENCE,
                "planted": planted,
                "expected": expected,
            }
            yield Figure(url_path=path, routes={path: route}, **known)


def redirected(one: Figure, number: int) -> Figure:
    """The same good figure, reached through one redirect or two."""
    (route,) = one.routes.values()
    target = f"/moved{one.url_path}"
    routes = {one.url_path: Route(do="redirect", location=target), target: route}
    if number % 2:
        routes |= {target: Route(do="redirect", location=f"{target}?v=2"), f"{target}?v=2": route}
    return replace(one, routes=routes)
