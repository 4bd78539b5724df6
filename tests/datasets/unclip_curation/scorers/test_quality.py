"""Tests of the quality, wording and toxicity scorers and the aesthetic head: what they find, and what they leave alone."""

import io
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter
from pyarrow.parquet import read_table
from safetensors.numpy import save_file

from unclip_curation.decisions.verdicts import decided
from unclip_curation.embeddings.embedding import embed_pairs
from unclip_curation.policy import Policy, load_policy
from unclip_curation.schemas import TOXICITY_SCHEMA
from unclip_curation.scorers import registry, toxicity
from unclip_curation.scorers.quality import jpeg_quality, measure_quality, score_quality
from unclip_curation.scorers.wording import personal, repeated_share
from unclip_pairs.errors import UserError
from unclip_pairs.images import to_array
from unclip_pairs.store import Store

Rows = Callable[..., list[Any]]
Draw = Callable[..., Image.Image]
needs_model = pytest.mark.skipif(find_spec("profanity_check") is None, reason="the extra toxicity is not installed")


def grainy(side: int = 256) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3)).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_the_more_a_picture_is_blurred_the_less_sharp_it_is() -> None:
    values = [measure_quality(grainy().filter(ImageFilter.GaussianBlur(radius)))["sharpness"] for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and values[0] > 20 * values[-1]


def test_a_large_picture_is_judged_at_the_scale_of_a_small_one() -> None:
    small = grainy(256)
    large = small.resize((1024, 1024), Image.Resampling.BICUBIC)
    assert measure_quality(large)["sharpness"] == pytest.approx(measure_quality(small)["sharpness"], rel=0.5)


def test_strong_compression_leaves_blocks_and_good_compression_does_not() -> None:
    image = grainy(16).resize((256, 256), Image.Resampling.BICUBIC)
    bad, good = (measure_quality(Image.open(io.BytesIO(as_jpeg(image, quality))))["blockiness"] for quality in (5, 95))
    assert bad > 0.5 and good < 0.1


@pytest.mark.parametrize("quality", [10, 35, 50, 75, 90, 98])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality: int) -> None:
    assert jpeg_quality(as_jpeg(grainy(32), quality)) == pytest.approx(quality, abs=2)
    assert jpeg_quality(b"\x89PNG") is None


def test_tiny_pictures_and_broken_ones_have_rows_too() -> None:
    assert measure_quality(Image.new("RGB", (2, 1))) == {"sharpness": 0.0, "blockiness": 0.0}
    assert score_quality({"__key__": "a", "png": b"nonsense"}) == {"key": "a"}


@pytest.mark.parametrize(("caption", "kind"), [
    ("call +49 30 901820 for prints", "phone"), ("photo by Ann, (212) 736-5000", "phone"), ("ring 020 7946 0958 now", "phone"),
    ("paid with 4111 1111 1111 1111", "card"), ("card 378282246310005", "card"),
    ("IBAN DE89 3704 0044 0532 0130 00", "iban"), ("to GB82WEST12345698765432 please", "iban"),
    ("server at 192.168.10.4", "ip"), ("host 2001:db8:0:0:0:0:2:1 is down", "ip"), ("ann@example.org", "email"),
])  # fmt: skip
def test_personal_data_is_found(caption: str, kind: str) -> None:
    assert kind in personal(caption)


@pytest.mark.parametrize("caption", [
    "a train in 1987-1992", "ISBN 978-3-16-148410-0", "4111 1111 1111 1112", "1920 x 1080 pixels", "version 1.2.3", "at 10:20:30",
    "3.14159265358979", "DE12 AB", "a score of 21:19, 21:18", "0000 0000 0000 0000", "tickets 100000 200000 300000", "::", "C::D",
])  # fmt: skip
def test_other_numbers_are_no_personal_data(caption: str) -> None:
    assert personal(caption) == []


def test_words_that_only_repeat_are_counted() -> None:
    assert repeated_share("buy shoes buy shoes buy shoes buy shoes") > 0.6
    assert repeated_share("a red ball and a blue ball on a table") < 0.2
    assert repeated_share("bye bye bye") == 0


@needs_model
def test_toxic_words_stand_above_plain_ones() -> None:
    score = toxicity.load_toxicity()
    words = ["you are a stupid idiot", "a flat drawing of a grinning face", "a red double-decker bus in the rain"]
    rows = list(score([{"__key__": str(i), "txt": text.encode()} for i, text in enumerate(words)]))
    bad, *plain = pa.Table.from_pylist(rows, schema=TOXICITY_SCHEMA)["toxicity"].to_pylist()
    assert bad > 0.9 > 0.5 > max(plain)
    assert list(score([])) == []


@needs_model
def test_a_model_file_that_is_not_the_known_one_is_not_opened() -> None:
    with pytest.raises(UserError, match="not the file this version knows"):
        toxicity.known_file(toxicity.MODEL[0], "0" * 64)


def changed(**fields: Any) -> Policy:
    policy = load_policy(None)
    return replace(policy, settings=policy.settings | {"scorers": ["picture", "caption"], **fields})


def found(store: Store, policy: Policy) -> dict[str, list[str]]:
    return {row["key"]: row["reasons"] for row in decided(store, "rule", policy).to_pylist()}


def test_a_policy_judges_what_was_measured_and_the_default_leaves_drawings_alone(store: Store, crawl_batch: Rows, draw: Draw) -> None:
    captions = ["a red circle", "a blue square, call +49 30 901820", "a green cross a green cross a green cross a green cross"]
    images = [draw(shape, "red", 1, side=128) for shape in ("circle", "square", "cross")]
    images[0] = images[0].filter(ImageFilter.GaussianBlur(6))
    keys = crawl_batch([{"caption": text, "image": image} for text, image in zip(captions, images, strict=True)])
    registry.score(store, "a", ["picture", "caption", "quality", "wording"], workers=1)
    found_rows = found(store, changed())
    assert [found_rows[key] for key in keys] == [[], ["caption_pii"], ["caption_repetition"]]
    strict = found(store, changed(min_sharpness=20.0, drop_pii=[], max_caption_repetition=1.0))
    assert [strict[key] for key in keys] == [["blurred"], [], []]
    with pytest.raises(UserError, match="toxicity"):
        decided(store, "rule", changed(scorers=["picture", "caption", "toxicity"]))


class Mean:
    """An embedder whose space is the mean colour."""

    dim = 3
    digest = "ab" * 32

    def pictures(self, batch: np.ndarray[Any, Any]) -> Any:
        return batch.mean(axis=(1, 2)).astype(np.float32) + 1

    def captions(self, texts: Any) -> Any:
        return np.ones((len(texts), 3), np.float32)


def put_probe(store: Store, weight: list[float], embedder: str) -> None:
    path = store.path("probes/aesthetic.safetensors")
    Path(path).parent.mkdir(exist_ok=True)
    tensors = {"weight": np.array([weight], np.float32), "bias": np.array([5.0], np.float32)}
    save_file(tensors, str(path), metadata={"embedder": embedder})


def test_the_operators_probe_scores_embeddings_of_its_own_space(store: Store, crawl_batch: Rows, shapes: Rows) -> None:
    keys = crawl_batch(shapes(4))
    with pytest.raises(UserError, match="put a linear probe there"):
        registry.score(store, "a", ["aesthetic"])
    put_probe(store, [1.0, 0.0, 0.0], Mean.digest)
    with pytest.raises(UserError, match="embed the batch"):
        registry.score(store, "a", ["aesthetic"])
    embed_pairs(store, "a", Mean(), set(keys))
    (manifest,) = registry.score(store, "a", ["aesthetic"])
    rows = read_table(store.path("features/a/aesthetic.parquet")).to_pylist()
    assert len(rows) == 4 and all(5 < row["aesthetic"] < 6 for row in rows)
    assert registry.score(store, "a", ["aesthetic"]) == [manifest]
    put_probe(store, [1.0, 0.0], Mean.digest)
    with pytest.raises(UserError, match="has 2 values, but the embeddings have 3"):
        registry.score(store, "a", ["aesthetic"])


def test_pictures_reach_an_embedder_as_it_prepares_them(store: Store, crawl_batch: Rows, draw: Draw) -> None:
    keys = crawl_batch([{"caption": "one", "image": draw("circle", "red")}, {"caption": "two", "image": draw("cross", "blue")}])
    seen: list[tuple[int, ...]] = []

    class Watching(Mean):
        def pictures(self, batch: Any) -> Any:
            seen.append(batch.shape)
            return super().pictures(batch)

    embed_pairs(store, "a", Watching(), set(keys), prepare=lambda image: to_array(image.resize((32, 32))))
    assert seen == [(2, 32, 32, 3)]
