"""Evaluation sets as the assets see them: embedded by the present CLIP, compared with the rows, shown when they leak."""

from collections.abc import Sequence

import dagster as dg

from unclip_assets.curation import own_clip
from unclip_assets.pointers import present
from unclip_assets.reporting import previews
from unclip_curation.decisions import checks
from unclip_curation.duplicates import leaks
from unclip_curation.policy import Policy
from unclip_curation.reports.leak_pages import leak_sheet, sentence
from unclip_pairs.manifest import Manifest
from unclip_pairs.pointers import find
from unclip_pairs.store import Store


def compare(store: Store, embeddings: str | None) -> Manifest | None:
    """What of the safe set is near a picture of a named evaluation set; None when none is named. Sets are embedded by the home's CLIP."""
    return leaks.compare_sets(store, embeddings, own_clip(store) if find(store, "clip_model") else None)


def objections(store: Store, version: str, policy: Policy) -> tuple[list[str], list[leaks.Leak]]:
    """Why a published set may not be trained on, and the leaks themselves (`LEAK_SCHEMA`)."""
    embeddings = find(store, "clip_embeddings")
    found = leaks.published_leaks(store, version, policy, embeddings.name if embeddings else None)
    return checks.nothing_leaks(store, version) + [sentence(leak) for leak in nearest(found)], found


def nearest(found: Sequence[leaks.Leak]) -> list[leaks.Leak]:
    """The first, nearest leak of each pair."""
    first: dict[str, leaks.Leak] = {}
    for leak in found:
        first.setdefault(leak["key"], leak)
    return list(first.values())


def shown(store: Store, found: Sequence[leaks.Leak]) -> dict[str, dg.MarkdownMetadataValue]:
    """Metadata of a check: a table of the leaks, and the pictures, each training picture beside the one that it shows."""
    if not found:
        return {}
    rows = [
        (leak["key"], leak["evaluation_set"], leak["picture"], leak["pdq_distance"], leak["same_bytes"] or leak["same_pixels"])
        for leak in nearest(found)
    ]
    table = previews.table(["pair", "set", "picture", "PDQ distance", "same picture"], rows[:100])
    sheet = leak_sheet(store, present(store, "training_shards").name, nearest(found))
    return {"leaks": table} | ({"pictures": previews.picture(sheet, "leaks")} if sheet else {})
