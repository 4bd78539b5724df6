"""Choice of the starter corpus: which concepts, in which styles, tones and scenes, drawn into which files."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store, explained
from unclip_starter.captions import caption
from unclip_starter.concepts import Concept, in_order
from unclip_starter.packages import drawings
from unclip_starter.pictures import Chosen, DistinctLooks, Drawing, Look, Pool, choose, draw, drawing_pool, file_name
from unclip_starter.planting import Picture
from unclip_starter.scenes.composing import DesignDrawing
from unclip_starter.scenes.everyday import Everyday, everyday, unlisted
from unclip_starter.scenes.planning import Palette, held_out_wishes, plain_wishes, training_wishes
from unclip_starter.scenes.sentences import Candidates
from unclip_starter.studio import CHUNK, Studio, chunks, distinct, open_studio

Report = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class ConceptRenderer:
    """Where pictures are drawn: the sources by style and code point, and how large and where they become files."""

    store: Store
    sources: dict[str, dict[str, bytes]]
    pixels: int
    seed: int

    def drawing(self, style: str, code: str) -> Drawing:
        """The work of making one plain file."""
        path = self.store.local_path(f"starter/site/{file_name(style, code, self.pixels, self.seed)}")
        return Drawing(self.sources[style][code], path, self.pixels)

    def design(self, style: str, code: str) -> DesignDrawing:
        """The work of making one design with a transparent ground."""
        path = self.store.local_path(f"starter/designs/{self.pixels}/{style}/{code}.png")
        return DesignDrawing(self.sources[style][code], path, self.pixels)

    def spare(self, one: Chosen) -> list[Picture]:
        """The finished plain files of a concept that planting uses."""
        found = list[Picture]()
        for style in one.styles:
            true, file = caption(one.concept, style, None, self.seed), file_name(style, one.concept.id, self.pixels, self.seed)
            alone = Candidates(alt=true, true=(true,))
            found.append(Picture(concept=one.concept, style=style, tone=None, file=file, captions=alone, more_captions=alone))
        return found

    def looks(self, concepts: Sequence[Concept], pool: Pool) -> Iterator[dict[str, Look]]:
        """Each concept drawn in all styles, in order."""
        looks = pool(draw, [self.drawing(style, concept.id) for concept in concepts for style in self.sources])
        while row := list(itertools.islice(looks, len(self.sources))):
            yield dict(zip(self.sources, row, strict=True))


def make_renderer(store: Store, styles: Sequence[str], pixels: int, seed: int) -> ConceptRenderer:
    """A renderer with the sources of all styles read from their packages and the folders made."""
    folders = [f"starter/site/pictures/{pixels}/{style}" for style in (*styles, "scenes")]
    for name in folders + [f"starter/designs/{pixels}/{style}" for style in styles]:
        folder = store.local_path(name)
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
    return ConceptRenderer(store=store, sources={style: drawings(store, style) for style in styles}, pixels=pixels, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many concepts for the corpus, composed pictures of them for training and real ones of withheld combinations, how many spare
    concepts for planting, and whether people and hands come in skin tones."""

    concepts: int
    scenes: int
    held_out: int
    spare: int
    tones: bool
    workers: int


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The pictures of the corpus, the spare ones for planting, and what the pictures were planned from."""

    pictures: list[Picture]
    spare: list[Picture]
    palette: Palette


@dataclass(frozen=True, kw_only=True)
class _Cast:
    """The concepts of the corpus, in which (id, style) their plain picture differs from all others, and the concepts for planting."""

    concepts: list[Everyday]
    plain: set[tuple[str, str]]
    spare: list[Chosen]


def draw_corpus(renderer: ConceptRenderer, known: Sequence[Concept], wanted: Wanted, report: Report) -> Corpus:
    """Draws plain pictures, spare ones and scenes, none of them a twin of another; `UserError` when too few concepts differ."""
    gallery = DistinctLooks()
    with drawing_pool(wanted.workers) as pool:
        cast = _cast(renderer, known, wanted, gallery, pool)
        studio = open_studio(
            cast.concepts,
            renderer.sources,
            renderer.design,
            tones=wanted.tones,
            seed=renderer.seed,
            site=renderer.store.local_path("starter/site"),
            pool=pool,
        )
        pictures = [studio.plain(wish) for wish in plain_wishes(studio.palette) if (wish.concepts[0], wish.style) in cast.plain]
        pictures += _scenes(studio, wanted, gallery, pool, report)
    spare = [picture for one in cast.spare for picture in renderer.spare(one)]
    return Corpus(pictures=pictures, spare=spare, palette=studio.palette)


def _scenes(studio: Studio, wanted: Wanted, gallery: DistinctLooks, pool: Pool, report: Report) -> Iterator[Picture]:
    """The composed pictures, those of withheld combinations first."""
    wishes = [*held_out_wishes(studio.palette, wanted.held_out), *training_wishes(studio.palette, wanted.scenes)]
    return distinct(studio, wishes, gallery, pool, report)


def _cast(renderer: ConceptRenderer, known: Sequence[Concept], wanted: Wanted, gallery: DistinctLooks, pool: Pool) -> _Cast:
    """The concepts of the table first, then others that differ; all plain pictures are drawn and in the gallery."""
    available = set.intersection(*(set(found) for found in renderer.sources.values()))
    listed = everyday(known, available, wanted.concepts)
    drawings = [renderer.drawing(style, one.concept.id) for one in listed for style in renderer.sources]
    admitted = [is_admitted for chunk in chunks(pool(draw, drawings), CHUNK) for is_admitted in gallery.admit(chunk)]
    names = [(one.concept.id, style) for one in listed for style in renderer.sources]
    families = {one.concept.family for one in listed}
    others = [one for one in in_order(known, available, renderer.seed) if one.family not in families]
    unlisted_ones = wanted.concepts - len(listed)
    missing, min_styles = unlisted_ones + wanted.spare, max(2, len(renderer.sources) - 1)
    chosen = list(choose(others, lambda some: renderer.looks(some, pool), missing, min_styles, renderer.seed, gallery))
    if len(chosen) < missing:
        found = max(0, len(listed) + len(chosen) - wanted.spare)
        raise UserError(f"concepts is {wanted.concepts}, but only {found} differ enough; take no more than that")
    more, spare = chosen[:unlisted_ones], chosen[unlisted_ones:]
    plain = {name for name, is_admitted in zip(names, admitted, strict=True) if is_admitted}
    plain |= {(one.concept.id, style) for one in more for style in one.styles}
    return _Cast(concepts=[*listed, *(unlisted(one.concept) for one in more)], plain=plain, spare=spare)
