"""Tests of forms: what a multipart body holds, and every way in which it is refused before anybody uses it."""

import pytest

from unclip_server.api.forms import MAX_PARTS, MAX_TEXT, read_form
from unclip_server.api.messages import MAX_IMAGE, ApiError, variation_request

TYPE = 'multipart/form-data; boundary="a b"'


def part(disposition: str, data: bytes = b"1") -> bytes:
    return b"--a b\r\nContent-Disposition: form-data; " + disposition.encode() + b"\r\n\r\n" + data + b"\r\n"


END = b"--a b--\r\n"
FILE = part('name="image"; filename="Bär.png"', b"\x89PNG\r\n\r\n--a\r\n\n\r")


def test_texts_and_files_come_as_they_were_sent() -> None:
    form = read_form(TYPE, part('name="n"', b"2") + FILE + part('name="user"', "Zoë\r\n".encode()) + END)
    assert form.texts == {"n": "2", "user": "Zoë\r\n"}
    assert form.files == {"image": b"\x89PNG\r\n\r\n--a\r\n\n\r"}


HEADS = {
    "one of a browser": b'Content-Disposition: form-data; name="image"; filename="C:\\a; b.png"\r\nContent-Type: image/png',
    "another field before": b"Content-Type: image/png\r\nContent-Disposition: form-data; name=image; filename=a",
    "an escaped quotation mark": b'Content-Disposition: form-data; name="image"; filename="a \\"b\\".png"',
    "a name in no encoding": b'Content-Disposition: form-data; name="image"; filename="\xff\x00"',
    "an empty file name": b'Content-Disposition: form-data; name="image"; filename=""',
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_file_is_known_by_the_head_of_its_part(head: bytes) -> None:
    assert read_form(TYPE, b"--a b\r\n" + head + b"\r\n\r\n1\r\n" + END).files == {"image": b"1"}


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=b", "Multipart/Form-Data;charset=utf-8; boundary=b", 'multipart/form-data; boundary="b"'],
)
def test_a_form_is_known_by_its_content_type(content_type: str) -> None:
    assert read_form(content_type, b"--b\r\nContent-Disposition: form-data; name=n\r\n\r\n2\r\n--b--").texts == {"n": "2"}


BROKEN = {
    "nothing": b"",
    "no boundary": b"n=2",
    "no end": FILE,
    "half an end": FILE + b"--a b-",
    "something before the start": b"more\r\n" + FILE + END,
    "another boundary": (FILE + END).replace(b"a b", b"a c"),
    "a part without a head": b"--a b\r\nno head\r\n" + END,
    "a part without a name": part("") + END,
    "a part with an empty name": part('name=""') + END,
    "a part that is no field": b"--a b\r\nContent-Disposition: attachment; name=n\r\n\r\n1\r\n" + END,
    "a head without end": b"--a b\r\nX: " + b"x" * 2000 + b"\r\n\r\n1\r\n" + END,
    "a field that is given twice": part('name="n"') + part('name="n"') + END,
    "a file that is given twice": FILE + FILE + END,
    "more parts than fields": b"".join(part(f'name="f{number}"') for number in range(MAX_PARTS + 1)) + END,
    "thousands of boundaries": b"--a b\r\n" * 10_000 + END,
    "a long text": part('name="user"', b"x" * (MAX_TEXT + 1)) + END,
    "a text that is no UTF-8": part('name="user"', b"\xff") + END,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_form_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_form(TYPE, body)
    assert caught.value.status == 400


def test_the_most_parts_that_are_allowed_are_read() -> None:
    body = b"".join(part(f'name="f{number}"') for number in range(MAX_PARTS)) + END
    assert len(read_form(TYPE, body).texts) == MAX_PARTS


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=a",
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary*=utf-8'en'a",
        'multipart/form-data; boundary="a "',
    ],
)
def test_what_is_no_form_is_a_bad_request(content_type: str) -> None:
    with pytest.raises(ApiError, match="multipart/form-data"):
        read_form(content_type, FILE + END)


def test_numbers_are_read_from_texts_and_empty_texts_mean_their_defaults() -> None:
    asked = variation_request({"n": "2", "size": "512x512", "seed": "7", "user": "", "model": ""}, {"image": b"a picture"})
    assert (asked.n, asked.size, asked.seed, asked.user, asked.model, asked.response_format) == (2, 512, 7, None, None, "url")
    assert (asked.image, asked.prompt) == (b"a picture", None)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"n": "11"}, "11 is greater than the maximum of 10 - 'n'"),
        ({"n": "0"}, "0 is less than the minimum of 1 - 'n'"),
        ({"n": "two"}, "'two' is not of type 'integer' - 'n'"),
        ({"n": "2.0"}, "'2.0' is not of type 'integer' - 'n'"),
        ({"n": "9" * 4000}, f"'{'9' * 4000}' is not of type 'integer' - 'n'"),
        ({"seed": "-1"}, "-1 is less than the minimum of 0 - 'seed'"),
        ({"size": "300x300"}, "'300x300' is not one of ['256x256', '512x512', '1024x1024'] - 'size'"),
        ({"response_format": "jpeg"}, "'jpeg' is not one of ['b64_json', 'url'] - 'response_format'"),
        ({"prompt": "a ball"}, "Additional properties are not allowed ('prompt' was unexpected)"),
        ({"guidance": "2"}, "Additional properties are not allowed ('guidance' was unexpected)"),
        ({"stream": "true"}, "'stream' is not supported by this model: it is a field of later models than dall-e-2"),
    ],
)
def test_a_wrong_field_is_a_bad_request_in_the_words_of_generations(texts: dict[str, str], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        variation_request(texts, {"image": b"a picture"})
    assert (caught.value.status, caught.value.message, caught.value.param) == (400, message, None)


@pytest.mark.parametrize(
    ("texts", "files", "status"),
    [({}, {}, 400), ({}, {"image": b""}, 400), ({"image": "a picture"}, {}, 400), ({}, {"image": b"x" * (MAX_IMAGE + 1)}, 413)],
    ids=["no image", "an empty image", "a text for an image", "a large image"],
)
def test_a_wrong_image_is_named(texts: dict[str, str], files: dict[str, bytes], status: int) -> None:
    with pytest.raises(ApiError) as caught:
        variation_request(texts, files)
    assert (caught.value.status, caught.value.param) == (status, "image")


def test_a_file_is_taken_for_the_image_only() -> None:
    with pytest.raises(ApiError, match="a file is not of type 'string' - 'n'"):
        variation_request({}, {"image": b"a picture", "n": b"2"})
