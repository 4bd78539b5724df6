"""Register of scorers: everything that measures pairs, by name.

Assets, the command `unclip data score` and `benchmarks/score.py` find scorers here. The name is that of the feature file. A new scorer is
one more name in `SCORERS`, its table in `tables.py` and its columns in `docs/scorers.md`.
"""

from collections.abc import Sequence

from unclip_curation.engines.processes import Engine
from unclip_curation.features import batches, kept_keys
from unclip_curation.scorers.aesthetic import AESTHETIC
from unclip_curation.scorers.caption_candidates import CAPTION_CANDIDATES
from unclip_curation.scorers.captions import CAPTION
from unclip_curation.scorers.explicit import BLOCKLIST, SAFETY
from unclip_curation.scorers.faces import FACES
from unclip_curation.scorers.identities import IDENTITIES
from unclip_curation.scorers.pictures import PICTURE
from unclip_curation.scorers.quality import QUALITY
from unclip_curation.scorers.runner import Derived, Scorer, score_together
from unclip_curation.scorers.toxicity import TOXICITY
from unclip_curation.scorers.watermark import WATERMARK
from unclip_curation.scorers.wording import WORDING
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store

SCORERS: dict[str, Scorer | Derived] = {
    scorer.name: scorer
    for scorer in (
        *(PICTURE, QUALITY, CAPTION, WORDING, CAPTION_CANDIDATES, TOXICITY),
        *(SAFETY, FACES, IDENTITIES, WATERMARK, BLOCKLIST, AESTHETIC),
    )
}


def find(name: str) -> Scorer | Derived:
    """The scorer of this name; `UserError` when there is none."""
    if name not in SCORERS:
        raise UserError(f"the scorer {name!r} does not exist; choose one of {', '.join(SCORERS)}")
    return SCORERS[name]


def score(store: Store, batch: str, names: Sequence[str], workers: Engine | int = 2, progress: Progress = silent) -> list[Manifest]:
    """The manifests of the named scorers' columns of a batch, in the order of `names`.

    Scorers that read the same rows run together, so a picture is decoded once for all of them. `UserError` when a name is unknown, when
    the batch is not finished or when a step that a scorer relies on has not run.
    """
    if batch not in batches(store):
        raise UserError(f"the batch {batch!r} is not crawled; choose one of {', '.join(batches(store)) or 'none: run a crawl first'}")
    chosen, found = [find(name) for name in names], dict[str, Manifest]()
    for scorer in chosen:
        if isinstance(scorer, Derived):
            found[scorer.name] = scorer.run(store, batch)
        elif scorer.name not in found:
            alike = [other for other in chosen if isinstance(other, Scorer) and (other.reads, other.stage) == (scorer.reads, scorer.stage)]
            keys = kept_keys(store, scorer.stage) if scorer.stage else None
            found |= zip([other.name for other in alike], score_together(store, batch, alike, keys, workers, progress), strict=True)
    return [found[name] for name in names]
