"""Forms: the bytes of a multipart body read into its fields and files, within bounds and in memory (RFC 7578).

python-multipart finds the parts. Starlette's own forms stand on it too, but they write files to a disk, and an upload is never kept.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from unclip_server.api.messages import invalid

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 16
MAX_TEXT = 4096
_NOT_A_FORM = "The body of your request must be a form of the type multipart/form-data, with a boundary and a file named 'image'."
_BROKEN = "We could not read the form of your request; send it as multipart/form-data, as `curl -F image=@picture.png` does."


@dataclass(frozen=True)
class Form:
    """What a form holds: texts and the bytes of files, by their names. No name is there twice."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])


def read_form(content_type: str, body: bytes) -> Form:
    """The form in a body of that content type; `ApiError` 400 when it is none, is broken, or has more or longer parts than any request."""
    kind, parameters = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind.lower() != b"multipart/form-data" or not parameters.get(b"boundary"):
        raise invalid(_NOT_A_FORM)
    parts = _Parts()
    try:
        parser = MultipartParser(parameters[b"boundary"], parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise invalid(_BROKEN) from error
    if not parts.ended:
        raise invalid(_BROKEN)
    form = Form()
    for disposition, data in parts.found:
        _add(form, disposition, bytes(data))
    return form


class _Parts:
    """What the parser finds: of each part its Content-Disposition and its data; and whether the form came to its end."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytearray]] = []
        self.ended = False
        self._name, self._value = bytearray(), bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_begin": self._begin_head,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._head,
            "on_part_data": lambda data, start, end: self.found[-1][1].extend(data[start:end]),
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.found) == MAX_PARTS:
            raise invalid(f"The form of your request has more than {MAX_PARTS} parts.")
        self.found.append((b"", bytearray()))

    def _begin_head(self) -> None:
        self._name.clear()
        self._value.clear()

    def _head(self) -> None:
        if bytes(self._name).lower() == b"content-disposition":
            self.found[-1] = bytes(self._value), self.found[-1][1]

    def _end(self) -> None:
        self.ended = True


def _add(form: Form, disposition: bytes, data: bytes) -> None:
    kind, parameters = parse_options_header(disposition)
    name = parameters.get(b"name", b"").decode("latin-1")
    if kind.lower() != b"form-data" or not name:
        raise invalid(_BROKEN)
    if name in form.texts or name in form.files:
        raise invalid(f"{name!r} is given twice; send it once")
    if b"filename" in parameters:
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
