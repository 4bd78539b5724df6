"""`unclip starter build`: openly licensed pictures in several styles, published as a small site with known defects.

The pictures are the emoji designs of Noto, Fluent (flat and 3-D), Twemoji and OpenMoji; the licence and credit of a package go with each
of its pictures. Everything is made from pinned packages and a seed, so two builds of one size are the same site.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done, make_manifest, read_manifest, write_manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store
from unclip_starter.concepts import Names, order, read_names
from unclip_starter.corpus import Corpus, Wanted, draw_corpus, make_renderer
from unclip_starter.defects import block_list
from unclip_starter.packages import EMOJIBASE, STYLE_PACKAGES, fetch_packages
from unclip_starter.pages import ANNEX, MAIN, ROBOTS, SitePage, galleries, ground_truth_rows, index, page_of_its_own, render, routes
from unclip_starter.planting import (
    DENIED_LICENCES,
    PER_PAGE,
    Figure,
    PlantingMaterials,
    bad_captions,
    copies,
    denied,
    figure,
    is_of_one_thing,
    misaligned,
    opted_out,
    redirected,
    shown,
    synthetic,
    unfetchable,
)
from unclip_starter.scenes.prompts import make_prompts

STYLES = ("noto", "fluent-flat", "fluent-3d", "twemoji", "openmoji")
LAYOUT = 4  # raised when the same size gives another site
MANIFEST = "starter/manifest.json"
PROMPTS = "starter/prompts.json"
REDIRECTED = 12

GROUND_TRUTH_COLUMNS = (
    *("url_path", "page_path", "caption", "true_caption", "captions", "concept", "concept_label", "style", "attributes"),
    *("scene", "split", "held_out", "planted", "expected", "duplicate_of", "licence"),
)
GROUND_TRUTH_SCHEMA = pa.schema([(name, pa.string()) for name in GROUND_TRUTH_COLUMNS])


@dataclass(frozen=True, kw_only=True)
class StarterSize:
    """How much is built: every concept plain in all `styles` but those in which it looks like another picture of it, and in `scenes`.

    `scenes` is the number of composed pictures for training, `held_out` that of real pictures of combinations kept from training and
    `prompts` the largest number of prompts in a set. `planted` is the number of pictures of each planted class (a seventh of it where a
    class costs a crawler time), `wrong_pages` that of pages of twenty with slipped captions. With `tones`, people and hands are in it in
    every skin tone.
    """

    concepts: int
    styles: tuple[str, ...]
    scenes: int
    held_out: int
    prompts: int
    tones: bool
    planted: int
    wrong_pages: int
    size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = set(self.styles) - set(STYLES)
        if unknown or len(self.styles) < 2:
            raise UserError(f"styles: {', '.join(self.styles) or 'none'}; choose at least two of {', '.join(STYLES)}")
        if min(self.concepts, self.planted) < 3:
            raise UserError(f"concepts is {self.concepts} and planted {self.planted}; take at least 3 concepts and plant at least 3")
        least = self.wrong_pages * PER_PAGE + REDIRECTED + 3 * self.planted + PER_PAGE
        if self.scenes < least:
            raise UserError(
                f"scenes is {self.scenes}; take at least {least}, so that there is enough to plant copies and slipped captions in"
            )

    @property
    def spare_concepts(self) -> int:
        """How many more concepts are drawn, for the five planted classes whose pictures must be nowhere else."""
        return -(-5 * self.planted // (len(self.styles) - 1))


FULL = StarterSize(concepts=76, styles=STYLES, scenes=3_600, held_out=300, prompts=200, tones=True, planted=45, wrong_pages=3)
SMOKE = StarterSize(
    concepts=12, styles=("noto", "twemoji", "openmoji"), scenes=120, held_out=24, prompts=12, tones=True, planted=3, wrong_pages=1
)
SIZES = {"full": FULL, "smoke": SMOKE}


def build_starter(store: Store, size: StarterSize, progress: Progress = silent, workers: int = 2) -> Manifest:
    """Packs, draws, captions and publishes into `starter/`; gives the manifest, at once when this size is there already.

    A build that was stopped goes on where it was. `UserError` names the npm package that cannot be had.
    """
    packages = [EMOJIBASE, *(STYLE_PACKAGES[style] for style in size.styles)]
    inputs = {f"{package.name}@{package.version}": package.integrity for package in packages}
    settings: dict[str, object] = {**asdict(size), "layout": LAYOUT}
    if is_done(store, MANIFEST, inputs, settings):
        manifest = read_manifest(store, MANIFEST)
        assert manifest is not None
        return manifest
    progress(0, None, "fetching the starter packages from npm")
    fetch_packages(store, packages, lambda package: progress(0, None, f"fetched {package.name}"))
    names = read_names(store)
    renderer = make_renderer(store, size.styles, size.size, size.seed)
    wanted = Wanted(
        concepts=size.concepts, scenes=size.scenes, held_out=size.held_out, spare=size.spare_concepts, tones=size.tones, workers=workers
    )
    corpus = draw_corpus(renderer, names.concepts, wanted, lambda done, total: progress(done, total, "drawing scenes"))
    progress(size.scenes, size.scenes, "publishing the starter site")
    store.write_json(PROMPTS, make_prompts(corpus.palette, size.prompts))
    return _publish(store, size, _pages(store, size, names, corpus), inputs, settings)


def _pages(store: Store, size: StarterSize, names: Names, corpus: Corpus) -> list[SitePage]:
    """The whole site: galleries of good and single planted figures, and the pages that are special as a whole."""
    figures = [figure(one, size.seed, split="held_out" if one.held_out else "train") for one in corpus.pictures]
    test = [one for one in figures if one.split == "held_out"]
    train = sorted((one for one in figures if one.split == "train"), key=lambda one: order(size.seed, "train", one.url_path))
    slipped, good = _slipped(train, size)
    annex = [one for one in good if shown(one).style == size.styles[0]][: PER_PAGE // 2]
    good = [one for one in good if one not in annex]
    materials = PlantingMaterials(
        store=store, spare=corpus.spare, good=good[:-REDIRECTED], foreign=names.foreign, size=size.size, count=size.planted, seed=size.seed
    )
    by_robots, by_header, by_page = opted_out(materials)
    forbidden = denied(materials)
    single = [*bad_captions(materials), *copies(materials), *unfetchable(materials), *synthetic(materials), *by_robots, *by_header]
    # figures that are reached through a redirect are none that a copy was made of
    good = good[:-REDIRECTED] + [redirected(one, number) for number, one in enumerate(good[-REDIRECTED:])]
    pages = galleries([*test, *good, *single, *forbidden[1::2]], size.seed)
    pages += [page_of_its_own(f"collection-{number}", f"Collection {number}", page) for number, page in enumerate(slipped)]
    pages.append(page_of_its_own("not-for-machines", "Not for machines", by_page, robots="noai, noimageai"))
    pages.append(page_of_its_own("rights-reserved", "Rights reserved", forbidden[::2], licence=DENIED_LICENCES[0]))
    licence = STYLE_PACKAGES[size.styles[0]].licence
    pages.append(page_of_its_own("annex", "The annex", annex, licence=licence, host=ANNEX))
    return pages


def _slipped(train: Sequence[Figure], size: StarterSize) -> tuple[list[list[Figure]], list[Figure]]:
    """The pages with slipped captions, of figures of one thing each, as many different ones as there are, and the figures left."""
    met = Counter[str]()
    turns = list[tuple[int, int]]()
    for number, one in enumerate(train):
        if is_of_one_thing(one):
            turns.append((met[shown(one).concept.id], number))
            met[shown(one).concept.id] += 1
    taken = [train[number] for _, number in sorted(turns)[: size.wrong_pages * PER_PAGE]]
    paths = {one.url_path for one in taken}
    return misaligned(taken, size.wrong_pages, size.seed), [one for one in train if one.url_path not in paths]


def _publish(store: Store, size: StarterSize, pages: Sequence[SitePage], inputs: dict[str, str], settings: dict[str, object]) -> Manifest:
    """Writes the site, the ground truth and last the manifest."""
    documents = {host: index(pages, host) for host in (MAIN, ANNEX)}
    site = {"robots": ROBOTS, "index": documents, "pages": {page.path: render(page) for page in pages}, "routes": routes(pages)}
    rows = ground_truth_rows(pages)
    store.write_json("starter/site/site.json", site)
    store.write_json("starter/site/blocklist.json", block_list(size.size))
    write_parquet(store, "starter/truth.parquet", pa.Table.from_pylist(rows, schema=GROUND_TRUTH_SCHEMA))
    planted = Counter(row["planted"] or "good" for row in rows)
    counts = {"figures": len(rows), "pages": len(pages), **dict(sorted(planted.items()))}
    counts["held_out"] = sum(row["split"] == "held_out" for row in rows)
    counts["concepts"] = len({row["concept"] for row in rows if row["planted"] is None})
    files = ["starter/site/site.json", "starter/site/blocklist.json", "starter/truth.parquet", PROMPTS]
    return write_manifest(store, MANIFEST, make_manifest(store, "starter", files, inputs=inputs, settings=settings, counts=counts))
