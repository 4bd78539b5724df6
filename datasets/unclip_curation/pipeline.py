"""Curate job: everything between a finished crawl and the final verdicts, in its order, on any engine."""

from collections.abc import Callable

from unclip_curation.decisions.verdicts import decide
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.embeddings.embedding import LoadEmbedder, embed_on, embedding_folder
from unclip_curation.engines.processes import Engine
from unclip_curation.features import batches
from unclip_curation.policy import Policy
from unclip_curation.scorers import registry
from unclip_curation.scorers.caption_agreement import score_agreement
from unclip_curation.scorers.probes import score_probes
from unclip_curation.tables import PER_BATCH
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store

ALWAYS = ("picture", "quality", "caption", "wording", "safety", "blocklist")
"""Measured whether or not the policy names them, as the assets do."""
Step = Callable[[str], Progress]


def unwatched(step: str) -> Progress:
    """The progress of a job that nobody watches."""
    return silent


def measured_for(policy: Policy, stage: str) -> list[str]:
    """The scorers that the job runs over each batch before it decides a stage."""
    wanted = {*ALWAYS, *policy.settings["scorers"]}
    return [name for name, columns in PER_BATCH.items() if columns.stage == stage and name in wanted and name in registry.SCORERS]


def curate(store: Store, policy: Policy, engine: Engine, embedder: LoadEmbedder | None = None, step: Step = unwatched) -> Manifest:
    """Scores, decides, embeds (when an embedder is named) and de-duplicates all finished crawl batches; gives the final verdicts' manifest.

    What is done is not done again, whatever engine did it: the engines give the same bytes. `step(name)` gives the progress of each step.
    `UserError` when there is no crawl, or when the policy needs embeddings and no embedder is named.
    """
    if not batches(store):
        raise UserError(f"there is no finished crawl batch in {store.root}; run the crawl first")
    if embedder is None and (measured_for(policy, "final") or policy.settings["probes"]):
        raise UserError("the policy judges by embeddings (aesthetic, probes); name an embedder with --clip")
    for stage in ("rule", "safety"):
        _measure(store, policy, stage, engine, step)
        decide(store, stage, policy)
    folder = _embed(store, policy, engine, embedder, step) if embedder else None
    step("dedupe")
    find_duplicates(store, folder)
    decide(store, "duplicate", policy)
    return decide(store, "final", policy, folder)


def _measure(store: Store, policy: Policy, stage: str, engine: Engine, step: Step) -> None:
    """Runs what the stage judges by, over every batch."""
    for batch in batches(store):
        registry.score(store, batch, measured_for(policy, stage), engine, step(f"{stage} {batch}"))
    if stage == "safety":
        score_agreement(store)


def _embed(store: Store, policy: Policy, engine: Engine, embedder: LoadEmbedder, step: Step) -> str:
    """The folder under `embeddings/` that the vectors of all batches lie in; what judges by them has run."""
    for batch in batches(store):
        embed_on(engine, store, batch, embedder, progress=step(f"embed {batch}"))
    folder = embedding_folder(embedder()[0]).removeprefix("embeddings/")
    for batch in batches(store):
        registry.score(store, batch, measured_for(policy, "final"), engine)
    if policy.settings["probes"]:
        score_probes(store, folder)
    return folder
