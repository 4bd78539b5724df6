"""Curation pipeline: the named steps between a finished crawl and the final verdicts, in their one order, on any engine.

`unclip data curate` runs them all; each asset of Dagster runs those that its name or its docstring says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from unclip_curation.decisions.caption_choice import choose_captions
from unclip_curation.decisions.ground_truth import hold_out, starter_labels
from unclip_curation.decisions.verdicts import decide
from unclip_curation.duplicates.leaks import compare_sets
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.embeddings.embedding import LoadEmbedder, embed_on, embedding_folder
from unclip_curation.engines.processes import Engine
from unclip_curation.features import batches
from unclip_curation.policy import Policy
from unclip_curation.scorers import registry
from unclip_curation.scorers.caption_agreement import score_agreement
from unclip_curation.scorers.identities import gallery_digest
from unclip_curation.scorers.probes import score_probes
from unclip_curation.scorers.runner import Scorer
from unclip_curation.splits import choose_validation
from unclip_curation.tables import PER_BATCH
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest
from unclip_pairs.pointers import point
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store

ALWAYS = ("picture", "quality", "caption", "wording", "caption_candidates", "safety", "blocklist")
"""Measured whether or not the policy names them."""
FACES = ("faces", "identities")
Watch = Callable[[str], Progress]


@dataclass(frozen=True, kw_only=True)
class Curation:
    """What all steps share. Without an `embedder` likeness is judged by hashes alone; `embedding_engine` None means `engine`."""

    store: Store
    policy: Policy
    engine: Engine
    embedder: LoadEmbedder | None = None
    embedding_engine: Engine | None = None

    @cached_property
    def embeddings(self) -> str | None:
        """The folder under `embeddings/` that the embedder's vectors lie in."""
        return embedding_folder(self.embedder()[0]).removeprefix("embeddings/") if self.embedder else None


Run = Callable[[Curation, str, Progress], Manifest | None]


@dataclass(frozen=True)
class CurationStep:
    """A step of the pipeline: `run(curation, batch, progress)` gives the manifest of what it wrote, None when there was nothing to do.

    A step that is not `per_batch` runs once for the store and is given no batch.
    """

    name: str
    run: Run
    per_batch: bool = False


def unwatched(step: str) -> Progress:
    """The progress of a job that nobody watches."""
    return silent


def measured_for(policy: Policy, stage: str) -> list[str]:
    """The scorers that run over each batch before a stage is decided."""
    wanted = {*ALWAYS, *policy.scorers}
    return [name for name, columns in PER_BATCH.items() if columns.stage == stage and name in wanted and name in registry.SCORERS]


def _score(curation: Curation, batch: str, names: Sequence[str], progress: Progress) -> Manifest | None:
    """The manifest of the first of the named scorers."""
    return next(iter(registry.score(curation.store, batch, names, curation.engine, progress)), None)


def _reading(policy: Policy, what: str) -> list[str]:
    found = [(name, registry.SCORERS[name]) for name in measured_for(policy, "rule")]
    return [name for name, scorer in found if isinstance(scorer, Scorer) and scorer.reads == what]


def _score_pictures(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    return _score(curation, batch, _reading(curation.policy, "picture"), progress)


def _score_captions(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    return _score(curation, batch, _reading(curation.policy, "caption"), progress)


def _score_safety(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    """Faces too, where the policy asks for them: a picture is decoded once for all."""
    return _score(curation, batch, [name for name in measured_for(curation.policy, "safety") if name != "identities"], progress)


def _score_faces(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    """The faces' manifest; identities are sought when the policy names them or somebody was enrolled."""
    measured = [name for name in measured_for(curation.policy, "safety") if name in FACES]
    enrolled = ["identities"] if gallery_digest(curation.store) and "identities" not in measured else []
    return _score(curation, batch, [*measured, *enrolled], progress)


def _score_agreement(curation: Curation, batch: str, progress: Progress) -> Manifest:
    return score_agreement(curation.store)


def _embed(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    """Embeds what the safety stage keeps; from then on these are the present embeddings."""
    if curation.embedder is None or curation.embeddings is None:
        return None
    engine = curation.embedding_engine or curation.engine
    manifest = embed_on(engine, curation.store, batch, curation.embedder, progress=progress)
    point(curation.store, "clip_embeddings", curation.embeddings, manifest.digest)
    return manifest


def _score_embeddings(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    return _score(curation, batch, measured_for(curation.policy, "final"), progress)


def _score_probes(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    if not curation.policy.probes or curation.embeddings is None:
        return None
    return score_probes(curation.store, curation.embeddings)


def _find_duplicates(curation: Curation, batch: str, progress: Progress) -> Manifest:
    return find_duplicates(curation.store, curation.embeddings)


def _compare_sets(curation: Curation, batch: str, progress: Progress) -> Manifest | None:
    return compare_sets(curation.store, curation.embeddings, curation.embedder)


def _decide_rule(curation: Curation, batch: str, progress: Progress) -> Manifest:
    return decide(curation.store, "rule", curation.policy)


def _decide_safety(curation: Curation, batch: str, progress: Progress) -> Manifest:
    """Decides, chooses the captions, and sets apart what no training may see, CLIP's included; this is the set that CLIP learns from."""
    manifest = decide(curation.store, "safety", curation.policy)
    labels = starter_labels(curation.store)
    if labels is not None:
        hold_out(curation.store, labels)
    choose_validation(curation.store)
    choose_captions(curation.store, curation.policy)
    point(curation.store, "safety_verdicts", "safe", manifest.digest)
    return manifest


def _decide_duplicates(curation: Curation, batch: str, progress: Progress) -> Manifest:
    return decide(curation.store, "duplicate", curation.policy)


def _decide_final(curation: Curation, batch: str, progress: Progress) -> Manifest:
    return decide(curation.store, "final", curation.policy, curation.embeddings)


STEPS = (
    CurationStep("picture_features", _score_pictures, per_batch=True),
    CurationStep("caption_features", _score_captions, per_batch=True),
    CurationStep("rule_verdicts", _decide_rule),
    CurationStep("safety_features", _score_safety, per_batch=True),
    CurationStep("face_features", _score_faces, per_batch=True),
    CurationStep("caption_agreement", _score_agreement),
    CurationStep("safety_verdicts", _decide_safety),
    CurationStep("clip_embeddings", _embed, per_batch=True),
    CurationStep("embedding_features", _score_embeddings, per_batch=True),
    CurationStep("probe_scores", _score_probes),
    CurationStep("duplicate_candidates", _find_duplicates),
    CurationStep("duplicate_verdicts", _decide_duplicates),
    CurationStep("evaluation_leaks", _compare_sets),
    CurationStep("final_verdicts", _decide_final),
)
NAMES = tuple(step.name for step in STEPS)


def check(curation: Curation) -> None:
    """`UserError` when there is no crawl, or when the policy needs embeddings and no embedder is named."""
    if not batches(curation.store):
        raise UserError(f"there is no finished crawl batch in {curation.store.root}; run the crawl first")
    if curation.embedder is None and (measured_for(curation.policy, "final") or curation.policy.probes):
        raise UserError("the policy judges by embeddings (aesthetic, probes); name an embedder with --clip")


def run_step(name: str, curation: Curation, batch: str = "", progress: Progress = silent) -> Manifest | None:
    """One step by its name, for one batch where it is done batch by batch; the manifest of what it wrote, if anything."""
    step = STEPS[NAMES.index(name)]
    assert bool(batch) == step.per_batch, f"the step {name} is done {'batch by batch' if step.per_batch else 'once'}"
    return step.run(curation, batch, progress)


def run_steps(curation: Curation, names: Sequence[str] = NAMES, watch: Watch = unwatched) -> Manifest | None:
    """The named steps in the pipeline's order, over all finished batches; the manifest of the last one.

    `watch(name)` gives the progress of each step.
    """
    manifest: Manifest | None = None
    for step in STEPS:
        if step.name in names:
            for batch in batches(curation.store) if step.per_batch else [""]:
                manifest = step.run(curation, batch, watch(f"{step.name} {batch}".strip()))
    return manifest


def curate(store: Store, policy: Policy, engine: Engine, embedder: LoadEmbedder | None = None, watch: Watch = unwatched) -> Manifest:
    """All steps; gives the final verdicts' manifest.

    What is done is not done again, whatever engine did it: the engines give the same bytes. `watch(name)` gives the progress of each step.
    `UserError` when there is no crawl, or when the policy needs embeddings and no embedder is named.
    """
    curation = Curation(store=store, policy=policy, engine=engine, embedder=embedder)
    check(curation)
    manifest = run_steps(curation, NAMES, watch)
    assert manifest is not None, "the last step decides"
    return manifest
