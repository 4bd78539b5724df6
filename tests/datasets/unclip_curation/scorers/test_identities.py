"""Tests of identities to exclude and watermarks: drawn stand-ins only, embeddings encrypted, marks planted."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont
from pyarrow.parquet import read_table
from typer.testing import CliRunner

from unclip_curation.decisions.verdicts import decide, read_verdicts
from unclip_curation.policy import Policy, load_policy
from unclip_curation.schemas import WATERMARK_SCHEMA
from unclip_curation.scorers import face_networks, identities, registry
from unclip_curation.scorers.watermark import find_mark, load_watermark
from unclip_orchestration.cli import app
from unclip_pairs.errors import UserError
from unclip_pairs.images import encode_png
from unclip_pairs.store import Store

Rows = Callable[..., list[str]]
Face = Callable[..., Image.Image]
pytestmark = pytest.mark.skipif(not (face_networks.folder() / face_networks.SFACE[0]).exists(), reason="make setup brings the networks")
DARK = {"skin": (120, 80, 60), "hair": (20, 20, 20), "width": 0.28, "gap": 0.11}


def policy_with(**fields: Any) -> Policy:
    policy = load_policy()
    return Policy(policy.settings | {"scorers": ["picture", "caption", "faces"], "min_identity_cosine": 0.9} | fields, policy.sql)


def crawled(store: Store, crawl_batch: Rows, images: list[Image.Image]) -> list[str]:
    keys = crawl_batch([{"caption": f"a picture of somebody {number}", "image": image} for number, image in enumerate(images)])
    registry.score(store, "a", ["picture", "caption"], workers=1)
    decide(store, "rule", policy_with())
    registry.score(store, "a", ["faces"], workers=1)
    return keys


def reasons(store: Store, policy: Policy) -> dict[str, list[str]]:
    decide(store, "safety", policy)
    return {row["key"]: row["reasons"] for row in read_verdicts(store, "safety").to_pylist()}


def test_an_enrolled_face_goes_and_others_stay(store: Store, crawl_batch: Rows, draw_face: Face, tmp_path: Path) -> None:
    images = [draw_face(grain=9, seed=5), draw_face(**DARK, grain=9), draw_face(), draw_face(side=64, grain=9)]
    keys = crawled(store, crawl_batch, images)
    with pytest.raises(UserError, match="no identity is enrolled"):
        registry.score(store, "a", ["identities"])
    assert identities.enrol(store, "somebody drawn", [draw_face(grain=9, seed=1)], tmp_path / "key") == 1
    with pytest.raises(UserError, match="unclip data score identities"):
        decide(store, "safety", policy_with())
    registry.score(store, "a", ["identities"])
    rows = {row["key"]: row for row in read_table(store.path("features/a/identities.parquet")).to_pylist()}
    scores = [rows[key]["identity_score"] for key in keys]
    assert scores[0] > 0.9 > scores[1] and scores[2] > 0.9
    assert scores[3] is None, "a face of less than 60 pixels is not compared"
    found = reasons(store, policy_with())
    assert [found[key] for key in keys] == [["excluded_identity"], [], [], []], "a drawn face is no identity"
    identities.enrol(store, "another", [draw_face(**DARK)])
    with pytest.raises(UserError, match="present identities"):
        decide(store, "safety", policy_with(min_identity_cosine=0.8))
    registry.score(store, "a", ["identities"])
    assert reasons(store, policy_with(min_identity_cosine=0.8))[keys[1]] == ["excluded_identity"]


def test_a_gallery_is_encrypted_and_its_key_lies_elsewhere_for_its_owner_alone(store: Store, draw_face: Face, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "mine"
    with pytest.raises(UserError, match="inside the store"):
        identities.enrol(store, "x", [draw_face()], store.root / "key")
    identities.enrol(store, "Wilhelmina", [draw_face(), draw_face(grain=5)], key)
    written = b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())
    assert b"Wilhelmina" not in written and b"PNG" not in written and key.read_bytes() not in written
    assert key.stat().st_mode & 0o777 == 0o600
    (one,) = identities.read_gallery(store)
    assert one.name == "Wilhelmina" and one.vectors.shape == (2, 128)
    with pytest.raises(UserError, match="unclip faces list"):
        identities.remove(store, "Nobody")
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(UserError, match="put the right key file back"):
        identities.read_gallery(store)
    key.write_bytes(kept[::-1])
    with pytest.raises(UserError, match="does not open"):
        identities.read_gallery(store)
    key.write_bytes(kept)
    key.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        identities.remove(store, "Wilhelmina")
    key.chmod(0o600)
    identities.remove(store, "Wilhelmina")
    assert identities.read_gallery(store) == ()


def test_a_picture_without_a_clear_face_cannot_be_enrolled(store: Store, draw_face: Face, draw: Face, tmp_path: Path) -> None:
    for image in (draw("cross", "blue"), draw_face(side=48)):
        with pytest.raises(UserError, match="at least 60 pixels"):
            identities.enrol(store, "x", [image], tmp_path / "key")
    assert not store.exists(identities.GALLERY)


def test_the_operator_enrols_lists_and_removes(tmp_path: Path, draw_face: Face) -> None:
    (tmp_path / "one.png").write_bytes(encode_png(draw_face()))
    runner, home = CliRunner(), ["--home", str(tmp_path / "home"), "faces"]
    enrolled = runner.invoke(app, [*home, "enrol", "somebody", str(tmp_path / "one.png"), "--key-file", str(tmp_path / "key")])
    assert enrolled.exit_code == 0 and "somebody" not in enrolled.output
    listed = runner.invoke(app, [*home, "list"]).output
    assert "1 embeddings  somebody" in listed
    assert json.loads((tmp_path / "home" / identities.GALLERY).read_text()).keys() == {"key_file", "sealed"}
    assert runner.invoke(app, [*home, "remove", "somebody"]).exit_code == 0
    assert runner.invoke(app, [*home, "list"]).output == ""


@pytest.mark.parametrize(("text", "mark"), [
    ("shutterstock", "shutterstock"), ("shuitterstock", "shutterstock"), ("alamy stock photo", "alamy"), ("a alamy", "alamy"),
    ("iStock", "istock"), ("Getty Images", "getty images"), ("123RF.com", "123rf"), ("All rights reserved", "all rights reserved"),
    ("utterstock shutterstoc", "shutterstock"), ("LIVESTOCK FAIR", None), ("SALE", None), ("stop", None), ("happy new year", None),
])  # fmt: skip
def test_marks_are_known_by_their_letters(text: str, mark: str | None) -> None:
    found, score = find_mark([(text, 1.0)])
    assert found == mark and (score >= 0.8) == (mark is not None)


def test_a_mark_is_read_from_the_picture_and_judged_by_the_policy(store: Store, crawl_batch: Rows, draw: Face) -> None:
    pytest.importorskip("rapidocr_onnxruntime")
    plain, marked = draw("circle", "red", side=256), draw("circle", "blue", side=256).convert("RGBA")
    layer = Image.new("RGBA", marked.size)
    ImageDraw.Draw(layer).text((40, 110), "shutterstock", font=ImageFont.load_default(size=30), fill=(255, 255, 255, 150))
    both = [plain, Image.alpha_composite(marked, layer).convert("RGB")]
    score = load_watermark()
    rows = list(score([{"__key__": str(number), "png": encode_png(image)} for number, image in enumerate(both)]))
    without, with_mark = pa.Table.from_pylist(rows, schema=WATERMARK_SCHEMA).to_pylist()
    assert without["watermark"] is None and without["text_share"] < 0.05
    assert with_mark["watermark"] == "shutterstock" and with_mark["watermark_score"] > 0.6 and 0.02 < with_mark["text_share"] < 0.5
    assert list(score([{"__key__": "x", "png": b"no picture"}])) == [{"key": "x"}]
    keys = crawled(store, crawl_batch, both)
    registry.score(store, "a", ["watermark"], workers=1)
    assert [reasons(store, policy_with())[key] for key in keys] == [[], ["watermark"]]
    heavy = replace(policy_with(), settings=policy_with().settings | {"drop_watermarks": False, "max_text_share": 0.02})
    assert [reasons(store, heavy)[key] for key in keys] == [[], ["text_heavy"]]
