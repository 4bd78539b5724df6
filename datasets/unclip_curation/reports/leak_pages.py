"""Leaks to look at: one sentence each, and a sheet of training pictures beside the evaluation pictures that they show."""

from collections.abc import Sequence

from PIL import Image

from unclip_curation.duplicates.evaluation_sets import set_names, set_pictures
from unclip_curation.duplicates.leaks import Leak
from unclip_curation.splits import SPLITS
from unclip_pairs.images import contact_sheet, decode
from unclip_pairs.shards import picture_bytes, read_shard, shard_names
from unclip_pairs.store import Store

MOST = 24


def sentence(leak: Leak) -> str:
    """What one row of `LEAK_SCHEMA` says."""
    how = "is" if leak["same_bytes"] or leak["same_pixels"] else "shows"
    turned = f" turned by {leak['rotation']} degrees" if leak["rotation"] else ""
    by = f"PDQ distance {leak['pdq_distance']}{', mirrored' if leak['mirrored'] else ''}{turned}"
    near = f", cosine {leak['cosine']:.3f}" if leak["cosine"] is not None else ""
    return f"{leak['key']} {how} picture {leak['picture']} of {leak['evaluation_set']} ({by}{near})"


def leak_sheet(store: Store, version: str, leaks: Sequence[Leak]) -> Image.Image | None:
    """Rows of two: the training picture, and the evaluation picture beside it. None when there is nothing to show."""
    shown = list(leaks)[:MOST]
    mine = _published(store, version, "train", {leak["key"] for leak in shown})
    pictures = {leak["picture"] for leak in shown}
    theirs = {(split, key): image for split in SPLITS[1:] for key, image in _published(store, version, split, pictures).items()}
    for name in set_names(store):
        wanted = {leak["picture"] for leak in shown if leak["evaluation_set"] == name}
        theirs |= {(name, key): image for key, image in set_pictures(store, name, wanted)}
    pairs = [(mine.get(leak["key"]), theirs.get((leak["evaluation_set"], leak["picture"]))) for leak in shown]
    rows = [[image for image in pair if image is not None] for pair in pairs]
    return contact_sheet(rows, [sentence(leak)[:60] for leak in shown], tile=192) if rows else None


def _published(store: Store, version: str, split: str, keys: set[str]) -> dict[str, Image.Image]:
    names = shard_names(store, f"datasets/{version}/{split}-")
    return {sample["__key__"]: decode(picture_bytes(sample)) for name in names for sample in read_shard(store, name, keys)}
