"""Forms: the bytes of a multipart body read into its fields and files, strictly and within bounds (RFC 7578).

Neither a library for it nor Python's `email`, which other bytes than mail can break: a form of this API is small and of one kind.
"""

import re
from dataclasses import dataclass, field

from unclip_server.api.messages import invalid

MAX_PARTS = 16
MAX_HEAD = 1024
MAX_TEXT = 4096
_BOUNDARY = re.compile(r"[ -~]{0,69}[!-~]")
_PARAMETER = re.compile(r'\s*;\s*([a-z]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))', re.IGNORECASE | re.ASCII)
_PARAMETERS = re.compile(rf"(?:{_PARAMETER.pattern})*", _PARAMETER.flags)
_NOT_A_FORM = "The body of your request must be a form of the type multipart/form-data, with a boundary and a file named 'image'."
_BROKEN = "We could not read the form of your request; send it as multipart/form-data, as `curl -F image=@picture.png` does."


@dataclass(frozen=True)
class Form:
    """What a form holds: texts and the bytes of files, by their names. No name is there twice."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])


def read_form(content_type: str, body: bytes) -> Form:
    """The form in a body of that content type; `ApiError` 400 when it is none, is broken, or has more or longer parts than any request."""
    boundary = _parameters(content_type, "multipart/form-data").get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise invalid(_NOT_A_FORM)
    form = Form()
    for part in _parts(boundary.encode("ascii"), body):
        head, gap, data = part.partition(b"\r\n\r\n")
        if not gap or len(head) > MAX_HEAD:
            raise invalid(_BROKEN)
        _add(form, _disposition(head), data)
    return form


def _parameters(header: str, kind: str) -> dict[str, str]:
    """What follows the value of a header, such as `; name="image"`; nothing when the value is another than `kind`."""
    value, semicolon, rest = header.strip().partition(";")
    if value.strip().lower() != kind or not _PARAMETERS.fullmatch(semicolon + rest):
        return {}
    return {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(semicolon + rest)}


def _parts(boundary: bytes, body: bytes) -> list[bytes]:
    """What stands between the boundaries, each part with its head."""
    before, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 2)
    if len(parts) > MAX_PARTS + 1:
        raise invalid(f"The form of your request has more than {MAX_PARTS} parts.")
    if before or not parts or parts[-1] not in (b"--", b"--\r\n") or not all(part.startswith(b"\r\n") for part in parts[:-1]):
        raise invalid(_BROKEN)
    return [part[2:] for part in parts[:-1]]


def _disposition(head: bytes) -> dict[str, str]:
    """The parameters of a part's Content-Disposition; nothing when it has none of a field."""
    for line in head.decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return _parameters(value, "form-data")
    return {}


def _add(form: Form, disposition: dict[str, str], data: bytes) -> None:
    name = disposition.get("name")
    if not name:
        raise invalid(_BROKEN)
    if name in form.texts or name in form.files:
        raise invalid(f"{name!r} is given twice; send it once")
    if "filename" in disposition or "filename*" in disposition:
        form.files[name] = data
    else:
        form.texts[name] = _text(name, data)


def _text(name: str, data: bytes) -> str:
    if len(data) > MAX_TEXT:
        raise invalid(f"{name!r} is longer than {MAX_TEXT} bytes; send a shorter text, or a picture as a file")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"{name!r} is not a text in UTF-8; send a text, or a picture as a file") from error
