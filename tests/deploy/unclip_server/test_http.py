"""The server over real HTTP, asked by the `openai` client: the DALL·E 2 contract, errors included."""

import base64
import hashlib
import io
import json
import time
import urllib.error
from pathlib import Path

import openai
import pytest
from PIL import Image

from images_server import Served, ask, get
from unclip_release.provenance import read_provenance
from unclip_server.api.results import Results


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_two_pictures_of_each_size_as_base64(client: openai.OpenAI, size: int) -> None:
    answer = client.images.generate(model="dall-e-2", prompt="a red ball", n=2, size=f"{size}x{size}", response_format="b64_json")  # type: ignore[arg-type]
    assert abs(answer.created - time.time()) < 60
    pictures = [Image.open(io.BytesIO(base64.b64decode(found.b64_json or ""))) for found in answer.data or []]
    assert [picture.size for picture in pictures] == [(size, size)] * 2
    assert pictures[0].tobytes() != pictures[1].tobytes()


def test_links_are_the_default_and_lead_to_pictures(client: openai.OpenAI, served: Served) -> None:
    answer = client.images.generate(prompt="a red ball", n=2, size="256x256")
    urls = [found.url or "" for found in answer.data or []]
    assert len(urls) == 2
    for url in urls:
        assert url.startswith(f"{served.url}/v1/results/")
        assert Image.open(io.BytesIO(get(url))).size == (256, 256)


@pytest.mark.parametrize("change", [("signature=", "signature=0"), ("expires=", "expires=9"), (".png", "0.png")])
def test_an_altered_link_is_refused(client: openai.OpenAI, change: tuple[str, str]) -> None:
    url = (client.images.generate(prompt="a red ball", size="256x256").data or [])[0].url or ""
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(url.replace(*change))
    with caught.value as error:
        assert error.code == 403
        assert json.loads(error.read())["error"]["code"] == "invalid_signature"


def test_an_old_link_has_expired(served: Served) -> None:
    results = Results(served.store, served.access.secret("links"), link_s=-10)
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(results.save(b"png", served.url))
    with caught.value as error:
        assert json.loads(error.read())["error"]["code"] == "expired_url"


def test_the_same_seed_gives_the_same_bytes_and_provenance(client: openai.OpenAI, tmp_path: Path) -> None:
    def painted(n: int, seed: int) -> list[str]:
        extra = {"seed": seed, "guidance": 2.5}
        answer = client.images.generate(prompt="a red ball", n=n, size="256x256", response_format="b64_json", extra_body=extra)
        return [found.b64_json or "" for found in answer.data or []]

    assert painted(3, 7) == painted(3, 7)
    assert painted(3, 7)[2] == painted(1, 9)[0]
    (tmp_path / "picture.png").write_bytes(base64.b64decode(painted(1, 9)[0]))
    assert read_provenance(tmp_path / "picture.png") == {
        "generator": "unclip",
        "model": "unclip/3",
        "manifest": "ab" * 32,
        "seed": "9",
        "prompt_sha256": hashlib.sha256(b"a red ball").hexdigest(),
        "guidance": "2.5",
        "ai_generated": "true",
    }


WRONG = [
    ({"size": "300x300"}, "'300x300' is not one of ['256x256', '512x512', '1024x1024'] - 'size'"),
    ({"n": 0}, "0 is less than the minimum of 1 - 'n'"),
    ({"n": 11}, "11 is greater than the maximum of 10 - 'n'"),
    ({"n": "two"}, "'two' is not of type 'integer' - 'n'"),
    ({"n": True}, "True is not of type 'integer' - 'n'"),
    ({"response_format": "jpeg"}, "'jpeg' is not one of ['b64_json', 'url'] - 'response_format'"),
    ({"prompt": "x" * 1001}, f"'{'x' * 1001}' is too long - 'prompt'"),
    ({"prompt": " "}, "' ' is too short - 'prompt'"),
    ({"prompt": None}, "'prompt' is a required property"),
    ({"prompt": 5}, "5 is not of type 'string' - 'prompt'"),
    ({"quality": "hd"}, "'hd' is not one of ['standard'] - 'quality'"),
    ({"background": "opaque"}, "'background' is not supported by this model: it is a field of later models than dall-e-2"),
    ({"stream": True}, "'stream' is not supported by this model: it is a field of later models than dall-e-2"),
    ({"style": "vivid"}, "'style' is not supported by this model: it is a field of later models than dall-e-2"),
    ({"colour": "red"}, "Additional properties are not allowed ('colour' was unexpected)"),
    ({"seed": -1}, "-1 is less than the minimum of 0 - 'seed'"),
    ({"guidance": 50}, "50 is not between 0.0 and 20.0 - 'guidance'"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[str(change)[:40] for change, _ in WRONG])
def test_a_wrong_field_is_a_bad_request_in_the_documented_words(client: openai.OpenAI, change: dict[str, object], message: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="a red ball", extra_body=change)
    assert caught.value.body == {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    assert caught.value.request_id is not None


def test_a_thousand_characters_and_ten_pictures_are_the_most(client: openai.OpenAI) -> None:
    assert len(client.images.generate(prompt="x" * 1000, n=10, size="256x256").data or []) == 10


def test_empty_optional_fields_mean_their_defaults(client: openai.OpenAI) -> None:
    empty = dict.fromkeys(("n", "size", "response_format", "quality", "user", "seed", "guidance", "background", "model"))
    answer = client.images.generate(prompt="a red ball", extra_body=empty)
    assert Image.open(io.BytesIO(get((answer.data or [])[0].url or ""))).size == (1024, 1024)


def test_a_refused_prompt_is_a_policy_violation(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="a nude woman")
    error = caught.value
    assert (error.code, error.type, error.param) == ("content_policy_violation", "invalid_request_error", None)
    assert str(error.body["message"]).startswith("Your request was rejected as a result of our safety system. Your prompt may contain text")  # type: ignore[index]


def test_a_refused_picture_does_not_leave(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="a green field")
    assert caught.value.code == "content_policy_violation"
    assert "generated image" in caught.value.message


def test_a_bad_key_and_no_key_are_authentication_errors(served: Served) -> None:
    stranger = openai.OpenAI(base_url=f"{served.url}/v1", api_key="sk-unclip-wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError) as caught:
        stranger.images.generate(prompt="a red ball")
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
    assert caught.value.message.find("Incorrect API key provided: sk-***rong") > 0
    assert ask(served, b"", "/v1/models", "GET", key=" ")[0] == 401


def test_a_revoked_key_ends_at_once(served: Served) -> None:
    key = served.access.create("leaver")
    assert ask(served, b"", "/v1/models", "GET", key=key)[0] == 200
    served.access.revoke("leaver")
    assert ask(served, b"", "/v1/models", "GET", key=key)[0] == 401


def test_the_models_are_listed_under_every_name(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["dall-e-2", "unclip", "unclip/3"]
    assert client.models.retrieve("dall-e-2").created == 1_700_000_000
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="dall-e-3", prompt="a red ball")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("dall-e-3")


def test_what_breaks_inside_is_a_server_error_without_a_trace(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.images.generate(prompt="stumble")
    assert caught.value.type == "server_error"
    assert "brush" not in str(caught.value.body)
    assert len(client.images.generate(prompt="a red ball", size="256x256").data or []) == 1


@pytest.mark.parametrize(
    ("path", "method", "body", "status"),
    [
        ("/v1/nothing", "GET", b"", 404),
        ("/v1/images/generations", "GET", b"", 405),
        ("/v1/images/generations", "POST", b"{not json", 400),
        ("/v1/images/generations", "POST", b"[1]", 400),
        ("/v1/images/generations", "POST", b"x" * 70_000, 413),
        ("/v1/results/../../access/access.db?expires=9999999999&signature=0", "GET", b"", 404),
        ("/v1/results/access.db?expires=9999999999&signature=0", "GET", b"", 403),
    ],
)
def test_every_error_has_the_one_shape_and_a_request_id(served: Served, path: str, method: str, body: bytes, status: int) -> None:
    found, headers, answer = ask(served, body, path, method)
    assert found == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert {name.lower(): value for name, value in headers.items()}["x-request-id"].startswith("req_")


def test_pace_and_origin_are_told_in_headers(served: Served) -> None:
    _, headers, _ = ask(served, {"prompt": "a red ball", "n": 2, "size": "256x256", "seed": 4})
    told = {name.lower(): value for name, value in headers.items()}
    assert told["x-ratelimit-limit-images"] == told["x-ratelimit-limit-requests"] == "1000"
    assert told["x-unclip-model"] == "unclip/3"
    assert told["x-unclip-seeds"] == "4,5"


def test_health_needs_no_key(served: Served) -> None:
    health = json.loads(get(f"{served.url}/healthz"))
    assert (health["status"], health["model"], health["waiting"]) == ("ok", "unclip/3", 0)


def test_every_request_is_in_the_audit_log_and_no_prompt_is(served: Served) -> None:
    key = served.access.create("audited")
    ask(served, {"prompt": "a red ball", "size": "256x256", "seed": 5, "user": "u-1"}, key=key)
    ask(served, {"prompt": "a nude woman"}, key=key)
    rows = sorted(served.access.requests("audited"), key=lambda row: row.outcome)
    assert [row.outcome for row in rows] == ["content_policy_violation", "ok"]
    assert (rows[1].model, rows[1].first_seed, rows[1].user) == ("unclip/3", "5", "u-1")
    assert rows[1].prompt_sha256 == hashlib.sha256(b"a red ball").hexdigest()
    assert b"a red ball" not in served.store.read_bytes("access/access.db")
    assert key.encode() not in served.store.read_bytes("access/access.db")
