"""Studio: wishes become pictures, each placed anew until it is no twin of another picture."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from unclip_starter.concepts import TONES, Concept, order
from unclip_starter.pictures import FAINT_SCENE, JPEG_SHARE, DistinctLooks, Pool, file_name
from unclip_starter.planting import Picture
from unclip_starter.scenes.composing import Design, DesignDrawing, SceneDrawing, draw_design, draw_scene
from unclip_starter.scenes.everyday import Everyday
from unclip_starter.scenes.planning import Palette
from unclip_starter.scenes.scene import Scene, Wish
from unclip_starter.scenes.sentences import Voice, caption_voice, captions
from unclip_starter.scenes.setting import placed, plain_scene
from unclip_starter.scenes.withheld import withhold

ATTEMPTS = 6  # placements tried for one scene before it is given up
CHUNK = 64
DRAWN = 1  # raised when the same scene gives another picture
Report = Callable[[int, int], None]
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What scenes are made with: the palette, every design by (style, code point), and where the site's files lie."""

    palette: Palette
    designs: Mapping[tuple[str, str], Design]
    site: Path
    pixels: int

    @cached_property
    def concepts(self) -> dict[str, Concept]:
        """The concepts by id."""
        return {one.concept.id: one.concept for one in self.palette.concepts}

    @cached_property
    def labels(self) -> dict[str, str]:
        """Their labels by id."""
        return {name: concept.label for name, concept in self.concepts.items()}

    @cached_property
    def voice(self) -> Voice:
        """How captions speak of them."""
        return caption_voice(self.palette.concepts)

    def designs_of(self, wish: Wish) -> tuple[Design, ...]:
        """The design of each of its things."""
        return tuple(self.designs[wish.style, code_of(self.concepts[name], wish.tone)] for name in wish.concepts)

    def plain(self, wish: Wish) -> Picture:
        """The picture that the style's maker drew, on white; its file is there already."""
        name = wish.concepts[0]
        scene = plain_scene(wish, self.designs[wish.style, name], self.labels)
        return self.picture(wish, scene, file_name(wish.style, name, self.pixels, self.palette.seed))

    def composed(self, wish: Wish, attempt: int) -> tuple[Scene, SceneDrawing]:
        """The attempt-th placement, and the work of drawing it."""
        designs = self.designs_of(wish)
        scene = placed(wish, designs, self.labels, self.palette.seed, attempt)
        digest = order(self.palette.seed, DRAWN, self.pixels, wish.style, scene)
        extension = "jpg" if int(digest[:8], 16) % 100 < JPEG_SHARE else "png"
        return scene, SceneDrawing(scene, designs, self.site / f"pictures/{self.pixels}/scenes/{digest[:20]}.{extension}", self.pixels)

    def picture(self, wish: Wish, scene: Scene, file: str) -> Picture:
        """The finished picture with its captions."""
        return Picture(
            concept=self.concepts[wish.concepts[0]],
            style=wish.style,
            tone=wish.tone,
            file=file,
            captions=captions(wish, self.voice, self.palette.seed),
            more_captions=captions(wish, self.voice, self.palette.seed, "of a copy"),
            scene=scene,
            held_out=wish.held_out,
        )


def code_of(concept: Concept, tone: str | None) -> str:
    """The code point that is drawn for the concept in this skin tone."""
    return dict(concept.tones)[tone] if tone else concept.id


def tonable(concepts: Sequence[Everyday], sources: Mapping[str, Mapping[str, bytes]]) -> list[str]:
    """The ids of concepts that every style draws in every skin tone."""
    every = [one.concept for one in concepts if len(one.concept.tones) == len(TONES)]
    return [one.id for one in every if all(code in drawn for _, code in one.tones for drawn in sources.values())]


def open_studio(
    concepts: Sequence[Everyday],
    sources: Mapping[str, Mapping[str, bytes]],
    work: Callable[[str, str], DesignDrawing],
    *,
    tones: bool,
    seed: int,
    site: Path,
    pool: Pool,
) -> Studio:
    """Draws every design that scenes may need; `work` says how one is drawn from style and code point."""
    toned = tonable(concepts, sources) if tones else []
    wanted = {
        (style, code_of(one.concept, tone)): None
        for style in sources
        for one in concepts
        for tone in ((None, *TONES) if one.concept.id in toned else (None,))
    }
    drawings = [work(*name) for name in wanted]
    designs = dict(zip(wanted, pool(draw_design, drawings), strict=True))
    palette = Palette(
        concepts=concepts,
        styles=list(sources),
        tonable=toned,
        withheld=withhold(concepts, list(sources), toned, seed),
        backgrounds={name: design.backgrounds for name, design in designs.items()},
        seed=seed,
    )
    return Studio(palette=palette, designs=designs, site=site, pixels=drawings[0].size)


def distinct(studio: Studio, wishes: Sequence[Wish], gallery: DistinctLooks, pool: Pool, report: Report) -> Iterator[Picture]:
    """The pictures of the wishes, in their order; one that stays a twin of another whatever its place is left out."""
    found, waiting = dict[int, Picture](), list(enumerate(wishes))
    for attempt in range(ATTEMPTS):
        composed = [studio.composed(wish, attempt) for _, wish in waiting]
        looks = pool(draw_scene, [drawing for _, drawing in composed])
        for chunk in chunks(zip(waiting, composed, looks, strict=True), CHUNK):
            admitted = gallery.admit([look for _, _, look in chunk], FAINT_SCENE)
            for ((number, wish), (scene, drawing), _), is_admitted in zip(chunk, admitted, strict=True):
                if is_admitted:
                    found[number] = studio.picture(wish, scene, drawing.path.relative_to(studio.site).as_posix())
            report(len(found), len(wishes))
        waiting = [(number, wish) for number, wish in waiting if number not in found]
    return (found[number] for number in sorted(found))


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
