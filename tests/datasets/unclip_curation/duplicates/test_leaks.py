"""Tests of leaks: what shows a picture of an evaluation set is dropped, and a published set that holds it is objected to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps
from pyarrow.parquet import read_table

from unclip_assets.checks import nothing_leaks
from unclip_assets.resources import CurationPolicy, Home
from unclip_curation.decisions.verdicts import decide, read_verdicts
from unclip_curation.duplicates.evaluation_sets import add_dataset, add_folder, embed_set, set_names
from unclip_curation.duplicates.leaks import find_leaks, published_leaks
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.embeddings.embedding import embed_pairs
from unclip_curation.policy import Policy, load_policy
from unclip_curation.publishing.publish import PUBLISHED_SCHEMA
from unclip_curation.scorers import registry
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.pointers import point
from unclip_pairs.shards import read_shard, write_shard
from unclip_pairs.store import Store

DEFAULT = load_policy()
POLICY = Policy(DEFAULT.settings | {"scorers": ["picture", "caption", "duplicates"]}, DEFAULT.sql)


class Colours:
    """An embedder without training: the mean colour of each quarter."""

    dim, digest = 12, "0123456789abcdef" * 4

    def pictures(self, batch: Any) -> Any:
        return batch.reshape(len(batch), 2, 128, 2, 128, 3).mean((2, 4)).reshape(len(batch), -1).astype(np.float32)

    def captions(self, texts: Any) -> Any:
        return np.ones((len(texts), self.dim), dtype=np.float32)


def final(store: Store, policy: Policy = POLICY) -> dict[str, list[str]]:
    registry.score(store, "a", ["picture", "caption"], workers=1)
    for stage in ("rule", "safety"):
        decide(store, stage, policy)
    find_duplicates(store)
    decide(store, "duplicate", policy)
    find_leaks(store)
    decide(store, "final", policy)
    return {row["key"]: row["reasons"] for row in read_verdicts(store, "final").to_pylist()}


@pytest.fixture
def evaluation(tmp_path: Path, draw: Callable[..., Image.Image]) -> Path:
    """A folder with four pictures, one of them a JPEG in a folder below."""
    folder = tmp_path / "evaluation"
    (folder / "below").mkdir(parents=True)
    for number, (shape, colour) in enumerate([("circle", "red"), ("cross", "blue"), ("triangle", "green")]):
        draw(shape, colour, number, side=200).save(folder / f"{number}.png")
    draw("square", "black", 3, side=200).save(folder / "below/3.jpg", quality=95)
    (folder / "notes.txt").write_text("no picture")
    return folder


def rows_of(draw: Callable[..., Image.Image]) -> list[dict[str, Any]]:
    """An exact copy, a mirrored one, a half-size one, a turned one, a recoloured one and a stranger."""
    kinds = [("circle", "red"), ("cross", "blue"), ("triangle", "green"), ("square", "black")]
    same, cross, triangle, square = (draw(*kind, number, side=200) for number, kind in enumerate(kinds))
    images = [same, ImageOps.mirror(cross), triangle.resize((100, 100)), square.rotate(90), draw("circle", "green", 0, side=200)]
    return [
        {"caption": f"picture number {number}", "image": image}
        for number, image in enumerate([*images, draw("cross", "red", 77, side=200)])
    ]


def test_rows_that_show_an_evaluation_picture_are_dropped(store: Store, crawl_batch: Any, draw: Any, evaluation: Path) -> None:
    keys = crawl_batch(rows_of(draw))
    add_folder(store, "shapes", evaluation)
    found = final(store)
    assert [found[key] for key in keys] == [["evaluation_leak"]] * 3 + [[]] * 3
    turned = Policy(POLICY.settings | {"duplicate_rotated": True}, POLICY.sql)
    assert [bool(final(store, turned)[key]) for key in keys] == [True] * 4 + [False] * 2


def test_a_set_that_was_not_compared_stops_the_final_stage(store: Store, crawl_batch: Any, draw: Any, evaluation: Path) -> None:
    crawl_batch(rows_of(draw))
    final(store)
    add_folder(store, "shapes", evaluation)
    with pytest.raises(UserError, match="not compared with it"):
        decide(store, "final", POLICY)


def test_a_set_never_changes_and_must_be_whole(store: Store, draw: Any, evaluation: Path) -> None:
    made = add_folder(store, "shapes", evaluation)
    assert made.counts["samples"] == 4 and add_folder(store, "shapes", evaluation) == made and set_names(store) == ["shapes"]
    (evaluation / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(UserError, match=r"broken\.png cannot be read"):
        add_folder(store, "more", evaluation)
    (evaluation / "broken.png").unlink()
    draw("cross", "green", 9).save(evaluation / "4.png")
    with pytest.raises(UserError, match="never changes"):
        add_folder(store, "shapes", evaluation)
    with pytest.raises(UserError, match="letters"):
        add_folder(store, "../shapes", evaluation)
    with pytest.raises(UserError, match="no folder"):
        add_folder(store, "none", evaluation / "nowhere")


def rows_of_keys(keys: list[str]) -> pa.Table:
    return pa.Table.from_pylist([{"key": key, "sha256": key} for key in keys], schema=PUBLISHED_SCHEMA)


def published(store: Store, keys: list[str], held_out: list[str]) -> None:
    """A dataset as `publish` leaves it, as far as leaks look at it."""
    samples = {sample["__key__"]: sample for sample in read_shard(store, "crawl/a/shard-00000")}
    for split, mine in (("train", keys), ("held_out", held_out)):
        write_shard(store, f"datasets/v-1/{split}-00000", [samples[key] for key in mine], rows_of_keys(mine))
    write_manifest(store, "datasets/v-1/manifest.json", make_manifest(store, "dataset", ["datasets/v-1/train-00000.json"]))


def test_a_published_set_is_held_against_its_held_out_rows_and_named_sets(
    store: Store, crawl_batch: Any, draw: Any, evaluation: Path
) -> None:
    rows = rows_of(draw)
    keys = crawl_batch([*rows, rows[5] | {"caption": "the stranger again", "url": "http://a.test/again.png"}])
    final(store)
    published(store, keys[:6], keys[6:])
    (leak,) = published_leaks(store, "v-1", POLICY)
    assert (leak["key"], leak["evaluation_set"], leak["picture"], leak["same_bytes"]) == (keys[5], "held_out", keys[6], True)
    add_folder(store, "shapes", evaluation)
    assert {leak["key"] for leak in published_leaks(store, "v-1", POLICY)} == {*keys[:3], keys[5]}
    add_dataset(store, "before", "v-1")
    assert {leak["evaluation_set"] for leak in published_leaks(store, "v-1", POLICY)} == {"held_out", "shapes", "before"}
    with pytest.raises(UserError, match="choose another --split"):
        add_dataset(store, "other", "v-1", split="test")


def test_the_blocking_check_shows_the_offenders_beside_what_they_show(store: Store, crawl_batch: Any, draw: Any, evaluation: Path) -> None:
    keys = crawl_batch(rows_of(draw))
    final(store)
    published(store, keys[:5], keys[5:])
    point(store, "training_shards", "v-1", "0" * 64)
    answer = nothing_leaks(Home(root=str(store.root), tracking_uri=""), CurationPolicy())
    assert isinstance(answer, dg.AssetCheckResult) and answer.passed
    add_folder(store, "shapes", evaluation)
    answer = nothing_leaks(Home(root=str(store.root), tracking_uri=""), CurationPolicy())
    assert isinstance(answer, dg.AssetCheckResult) and not answer.passed
    told = str(answer.metadata["objections"].value)
    assert [key for key in keys if key in told] == keys[:3] and "of shapes" in told
    assert all(key in str(answer.metadata["leaks"].value) for key in keys[:3])
    assert str(answer.metadata["pictures"].value).startswith("![leaks](data:image/jpeg")


def test_sets_are_compared_by_meaning_when_the_same_network_embedded_them(
    store: Store, crawl_batch: Any, draw: Any, evaluation: Path
) -> None:
    keys = crawl_batch(rows_of(draw))
    final(store)
    add_folder(store, "shapes", evaluation)
    embed_pairs(store, "a", Colours(), set(keys))
    assert embed_set(store, "shapes", Colours()) == embed_set(store, "shapes", Colours())
    found = find_leaks(store, Colours.digest[:8])
    assert found is not None
    near = read_table(store.path("features/leaks.parquet")).to_pylist()
    assert max(row["cosine"] or 0 for row in near if row["key"] == keys[0]) == pytest.approx(1, abs=1e-5)
