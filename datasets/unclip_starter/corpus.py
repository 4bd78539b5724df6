"""Choice of the starter corpus: which concepts, in which styles and tones, drawn into which files."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store, explained
from unclip_starter.captions import caption
from unclip_starter.concepts import Concept, in_order
from unclip_starter.packages import drawings
from unclip_starter.pictures import Chosen, Drawing, Look, choose, drawing_pool, file_name
from unclip_starter.planting import Picture

Pool = Callable[[Sequence[Drawing]], Iterator[Look]]


@dataclass(frozen=True, kw_only=True)
class ConceptRenderer:
    """Where pictures are drawn: the sources by style and code point, and how large and where they become files."""

    store: Store
    sources: dict[str, dict[str, bytes]]
    pixels: int
    seed: int

    def drawing(self, style: str, code: str) -> Drawing:
        """The work of making one file."""
        path = self.store.local_path(f"starter/site/{file_name(style, code, self.pixels, self.seed)}")
        return Drawing(self.sources[style][code], path, self.pixels)

    def picture(self, concept: Concept, style: str, tone: str | None, code: str) -> Picture:
        """The finished file with its true caption."""
        file = file_name(style, code, self.pixels, self.seed)
        return Picture(concept=concept, style=style, tone=tone, file=file, caption=caption(concept, style, tone, self.seed))

    def looks(self, concepts: Sequence[Concept], pool: Pool) -> Iterator[dict[str, Look]]:
        """Each concept drawn in all styles, in order."""
        looks = pool([self.drawing(style, concept.id) for concept in concepts for style in self.sources])
        while row := list(itertools.islice(looks, len(self.sources))):
            yield dict(zip(self.sources, row, strict=True))

    def plain(self, one: Chosen) -> list[Picture]:
        """The concept in its styles, without skin tones."""
        return [self.picture(one.concept, style, None, one.concept.id) for style in one.styles]

    def toned(self, one: Chosen) -> list[tuple[Picture, Drawing]]:
        """The concept in its styles and in every skin tone that the style draws."""
        return [
            (self.picture(one.concept, style, tone, code), self.drawing(style, code))
            for tone, code in one.concept.tones
            for style in one.styles
            if code in self.sources[style]
        ]


def make_renderer(store: Store, styles: Sequence[str], pixels: int, seed: int) -> ConceptRenderer:
    """A renderer with the sources of all styles read from their packages and the folders made."""
    for style in styles:
        folder = store.local_path(f"starter/site/pictures/{pixels}/{style}")
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
    return ConceptRenderer(store=store, sources={style: drawings(store, style) for style in styles}, pixels=pixels, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many concepts for the corpus, how many spare ones for planting, and whether in skin tones."""

    concepts: int
    spare: int
    tones: bool
    workers: int


def draw_corpus(
    renderer: ConceptRenderer, known: Sequence[Concept], wanted: Wanted, report: Callable[[int, int], None]
) -> tuple[list[Picture], list[Picture]]:
    """The corpus's pictures, concept by concept, and the spare ones; `UserError` when too few concepts differ."""
    available = set.intersection(*(set(found) for found in renderer.sources.values()))
    concepts = in_order(known, available, renderer.seed)
    total, min_styles, chosen = wanted.concepts + wanted.spare, max(2, len(renderer.sources) - 1), list[Chosen]()
    with drawing_pool(wanted.workers) as pool:
        for one in choose(concepts, lambda some: renderer.looks(some, pool), total, min_styles, renderer.seed):
            chosen.append(one)
            report(len(chosen), total)
        if len(chosen) < total:
            found = max(0, len(chosen) - wanted.spare)
            raise UserError(f"concepts is {wanted.concepts}, but only {found} differ enough; take no more than that")
        corpus = [_with_tones(renderer, one, pool) if wanted.tones else renderer.plain(one) for one in chosen[: wanted.concepts]]
    return list(itertools.chain(*corpus)), [picture for one in chosen[wanted.concepts :] for picture in renderer.plain(one)]


def _with_tones(renderer: ConceptRenderer, one: Chosen, pool: Pool) -> list[Picture]:
    toned = renderer.toned(one)
    for _ in pool([drawing for _, drawing in toned]):
        pass
    return renderer.plain(one) + [picture for picture, _ in toned]
