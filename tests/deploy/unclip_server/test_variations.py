"""Variations over real HTTP, asked by the `openai` client: what generations decide is decided alike, and uploads are judged first."""

import base64
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import openai
import pytest
from PIL import Image

from images_server import FORBIDDEN_GREEN, Served, ask, get, serving, small_service
from unclip_pairs.images import encode_png
from unclip_release.provenance import read_provenance
from unclip_server.api.messages import MAX_IMAGE
from unclip_server.service import SOURCE_REFUSED

# OpenAI has retired its own route, and the newest client says so at every call
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

PATH = "/v1/images/variations"
FORM = "multipart/form-data; boundary=b"
PICTURE = encode_png(Image.effect_noise((48, 32), 60).convert("RGB"))


def body(image: bytes = PICTURE, **texts: str) -> bytes:
    """The form of a raw request."""
    fields = b"".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode() for name, text in texts.items())
    return fields + b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image + b"\r\n--b--\r\n"


def varied(client: openai.OpenAI, image: bytes = PICTURE, *, n: int = 1, seed: int | None = None) -> list[bytes]:
    extra = None if seed is None else {"seed": seed}
    answer = client.images.create_variation(image=image, n=n, size="256x256", response_format="b64_json", extra_body=extra)
    return [base64.b64decode(found.b64_json or "") for found in answer.data or []]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_an_open_file_gives_two_variations_behind_links(client: openai.OpenAI, served: Served, tmp_path: Path) -> None:
    (tmp_path / "a ball.png").write_bytes(PICTURE)
    with (tmp_path / "a ball.png").open("rb") as file:
        answer = client.images.create_variation(image=file, n=2, size="256x256")
    urls = [found.url or "" for found in answer.data or []]
    pictures = [get(url) for url in urls]
    assert all(url.startswith(f"{served.url}/v1/results/") for url in urls)
    assert [Image.open(io.BytesIO(picture)).size for picture in pictures] == [(256, 256)] * 2
    assert pictures[0] != pictures[1]


def test_the_same_seed_and_upload_give_the_same_bytes(client: openai.OpenAI) -> None:
    first = varied(client, n=3, seed=7)
    assert varied(client, n=3, seed=7) == first
    assert varied(client, seed=9) == first[2:]
    assert varied(client, seed=8) != first[:1]


def test_a_variation_says_which_file_it_comes_from(client: openai.OpenAI, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(varied(client, seed=9)[0])
    assert read_provenance(tmp_path / "picture.png") == {
        "generator": "unclip",
        "model": "unclip/3",
        "manifest": "ab" * 32,
        "seed": "9",
        "source_sha256": hashlib.sha256(PICTURE).hexdigest(),
        "ai_generated": "true",
    }


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_each_format_of_crawled_pictures_is_taken(client: openai.OpenAI, kind: str) -> None:
    assert len(varied(client, encoded(Image.new("RGB", (30, 40), (200, 30, 30)), kind))) == 1


def test_an_upload_is_turned_and_laid_on_white(client: openai.OpenAI) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    halves = np.full((32, 32, 3), 255, np.uint8)
    halves[:16] = (200, 30, 30)
    for upload in (encoded(Image.fromarray(halves), "PNG", exif=exif), encode_png(Image.new("RGBA", (32, 32), (0, 255, 0, 0)))):
        picture = Image.open(io.BytesIO(varied(client, upload, seed=1)[0]))
        assert np.asarray(picture)[:100].mean() > 220


def bomb() -> bytes:
    """A PNG of few bytes with 80 million pixels."""
    return encoded(Image.new("1", (10_000, 8_000)), "PNG")


@pytest.mark.parametrize(
    ("image", "reason"),
    [(b"no picture", "neither PNG"), (PICTURE[:200], "cannot be used"), (bomb(), "10000 x 8000 is more than 50000000 pixels")],
    ids=["no picture", "half a picture", "many pixels"],
)
def test_an_upload_that_is_no_picture_is_a_bad_request(client: openai.OpenAI, image: bytes, reason: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        varied(client, image)
    assert (caught.value.param, caught.value.type, caught.value.code) == ("image", "invalid_request_error", None)
    assert reason in caught.value.message and "send a PNG, JPEG, WebP or GIF picture of at most 50 megapixels" in caught.value.message


@pytest.mark.parametrize("size", [MAX_IMAGE + 1, 3 * MAX_IMAGE])
def test_a_large_upload_is_refused(client: openai.OpenAI, size: int) -> None:
    with pytest.raises(openai.APIStatusError, match="is larger than") as caught:
        varied(client, b"x" * size)
    assert caught.value.status_code == 413


def test_a_refused_upload_is_a_policy_violation_in_the_audit_log(served: Served) -> None:
    key, upload = served.access.create("sender"), encode_png(Image.new("RGB", (8, 8), FORBIDDEN_GREEN))
    status, _, answer = ask(served, body(upload, n="2"), PATH, key=key, content_type=FORM)
    assert (status, answer["error"]["code"], answer["error"]["message"]) == (400, "content_policy_violation", SOURCE_REFUSED)
    (row,) = served.access.requests("sender")
    assert (row.outcome, row.pictures, row.prompt_sha256) == ("content_policy_violation", 2, "")
    assert row.source_sha256 == hashlib.sha256(upload).hexdigest()


def test_a_refused_variation_does_not_leave(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        varied(client, encode_png(Image.new("RGB", (8, 8))))
    assert caught.value.code == "content_policy_violation"
    assert "generated image" in caught.value.message


def test_every_variation_is_in_the_audit_log_and_no_upload_is_stored(served: Served) -> None:
    key = served.access.create("varier")
    for image in (PICTURE, b"no picture"):
        ask(served, body(image, seed="5", user="u-1", size="256x256"), PATH, key=key, content_type=FORM)
    rows = sorted(served.access.requests("varier"), key=lambda row: row.outcome)
    assert [(row.outcome, row.model, row.first_seed, row.user) for row in rows] == [
        ("ok", "unclip/3", "5", "u-1"),
        ("status 400", "unclip/3", "5", "u-1"),
    ]
    assert [row.source_sha256 for row in rows] == [hashlib.sha256(image).hexdigest() for image in (PICTURE, b"no picture")]
    pixels = PICTURE[40:200]
    assert not any(pixels in served.store.read_bytes(name) for name in served.store.names(""))


def test_keys_pace_and_models_are_those_of_generations(served: Served, client: openai.OpenAI) -> None:
    assert ask(served, body(), PATH, key="sk-unclip-wrong", content_type=FORM)[0] == 401
    _, headers, _ = ask(served, body(n="2", seed="4", size="256x256"), PATH, key=served.access.create("pacer"), content_type=FORM)
    told = {name.lower(): value for name, value in headers.items()}
    assert (told["x-ratelimit-remaining-images"], told["x-unclip-model"], told["x-unclip-seeds"]) == ("998", "unclip/3", "4,5")
    with pytest.raises(openai.NotFoundError):
        client.images.create_variation(image=PICTURE, model="dall-e-3")


def test_a_body_that_is_no_form_has_the_one_shape_of_errors(served: Served) -> None:
    for status, _, answer in (ask(served, {"image": "a"}, PATH), ask(served, b"--b", PATH, content_type=FORM)):
        assert status == 400
        assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_the_form_is_described(served: Served) -> None:
    described = json.loads(get(f"{served.url}/openapi.json"))["paths"][PATH]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert sorted(described["schema"]["properties"]) == ["image", "model", "n", "response_format", "seed", "size", "user"]


def test_a_model_that_cannot_vary_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, small_service(can_vary=False)) as served:
        status, _, answer = ask(served, body(), PATH, content_type=FORM)
    assert (status, answer["error"]["param"]) == (400, "model")
    assert answer["error"]["message"] == "The model 'unclip/3' cannot vary images, it has nothing that reads them; ask with a prompt."
