"""Contract in words: requests checked field by field, errors in OpenAI's one shape."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from unclip_pairs.json_value import JsonValue

MAX_PROMPT = 1000
MAX_PICTURES = 10
MAX_SEED = 2**63 - MAX_PICTURES - 1
MAX_GUIDANCE = 20.0
MAX_IMAGE = 4 * 2**20
SIZES = {"256x256": 256, "512x512": 512, "1024x1024": 1024}
FORMATS = ("b64_json", "url")
FIELDS = ("prompt", "model", "n", "size", "response_format", "quality", "user", "seed", "guidance")
VARIATION_FIELDS = ("image", "model", "n", "size", "response_format", "user", "seed")
# fields of later models: refused, not ignored, so that nobody believes they had an effect
LATER_FIELDS = (
    *("background", "input_fidelity", "moderation", "output_compression", "output_format", "partial_images", "stream"),
    "style",
)
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")


class ApiError(Exception):
    """An answer other than 200, in the envelope that OpenAI's clients read."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.param, self.code = status, kind, param, code
        self.message, self.headers = message, dict(headers or {})

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A checked request, for a prompt or for variations of an `image` (the bytes of its file, not looked at yet).

    `seed` None: drawn by the server; `guidance` None: the model's own.
    """

    prompt: str | None = None
    image: bytes | None = field(default=None, repr=False)
    n: int
    size: int
    response_format: str
    model: str | None
    user: str | None
    seed: int | None
    guidance: float | None


def invalid(message: str) -> ApiError:
    """A 400 with `param` and `code` null, as the Images API answered such requests."""
    return ApiError(400, message)


def _text(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{value!r} is not of type 'string' - '{name}'")
    return value


def _choice(fields: Mapping[str, object], name: str, choices: list[str], default: str) -> str:
    value = _text(fields, name)
    if value is not None and value not in choices:
        raise invalid(f"{value!r} is not one of {choices} - '{name}'")
    return default if value is None else value


def _integer(fields: Mapping[str, object], name: str, least: int, most: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"{value!r} is not of type 'integer' - '{name}'")
    if value > most:
        raise invalid(f"{value} is greater than the maximum of {most} - '{name}'")
    if value < least:
        raise invalid(f"{value} is less than the minimum of {least} - '{name}'")
    return value


def _number(fields: Mapping[str, object], name: str, least: float, most: float) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid(f"{value!r} is not of type 'number' - '{name}'")
    if not least <= value <= most:
        raise invalid(f"{value} is not between {least} and {most} - '{name}'")
    return float(value)


def _prompt(fields: Mapping[str, object]) -> str:
    prompt = _text(fields, "prompt")
    if prompt is None:
        raise invalid("'prompt' is a required property")
    if len(prompt) > MAX_PROMPT:
        raise invalid(f"{prompt!r} is too long - 'prompt'")
    if not prompt.strip():
        raise invalid(f"{prompt!r} is too short - 'prompt'")
    return prompt


def _image(texts: Mapping[str, str], files: Mapping[str, bytes]) -> bytes:
    """The bytes of the form's one file."""
    if misplaced := sorted(set(files) - {"image"}):
        raise invalid(f"a file is not of type 'string' - '{misplaced[0]}'")
    if "image" in texts:
        raise ApiError(400, "'image' is a text; send the picture as a file, as `curl -F image=@picture.png` does", param="image")
    if not files.get("image"):
        raise ApiError(400, "'image' is a required property; send a picture as a file", param="image")
    if len(files["image"]) > MAX_IMAGE:
        raise ApiError(413, f"The image is larger than {MAX_IMAGE // 2**20} MB; send a smaller one.", param="image")
    return files["image"]


def _known_fields(fields: Mapping[str, object], known: tuple[str, ...]) -> None:
    given = {name for name, value in fields.items() if value is not None}
    if later := sorted(given & set(LATER_FIELDS)):
        raise invalid(f"'{later[0]}' is not supported by this model: it is a field of later models than dall-e-2")
    if unknown := sorted(given - set(known)):
        raise invalid(f"Additional properties are not allowed ('{unknown[0]}' was unexpected)")


def image_request(fields: Mapping[str, object]) -> ImageRequest:
    """The checked request; `ApiError` 400 with the texts of the Images API for the first field that is wrong."""
    _known_fields(fields, FIELDS)
    return _checked(fields, prompt=_prompt(fields))


def variation_request(texts: Mapping[str, str], files: Mapping[str, bytes]) -> ImageRequest:
    """The checked request of a form; `ApiError` 400 or 413 for the first field that is wrong. Empty texts mean their defaults."""
    _known_fields({**texts, **files}, VARIATION_FIELDS)
    image = _image(texts, files)
    fields: dict[str, object] = {name: text for name, text in texts.items() if text}
    numbers = {name: int(texts[name]) for name in ("n", "seed") if _WHOLE_NUMBER.fullmatch(texts.get(name, ""))}
    return _checked(fields | numbers, image=image)


def _checked(fields: Mapping[str, object], *, prompt: str | None = None, image: bytes | None = None) -> ImageRequest:
    pictures = _integer(fields, "n", 1, MAX_PICTURES)
    size = _choice(fields, "size", list(SIZES), "1024x1024")
    _choice(fields, "quality", ["standard"], "standard")
    return ImageRequest(
        prompt=prompt,
        image=image,
        n=1 if pictures is None else pictures,
        size=SIZES[size],
        response_format=_choice(fields, "response_format", list(FORMATS), "url"),
        model=_text(fields, "model"),
        user=_text(fields, "user"),
        seed=_integer(fields, "seed", 0, MAX_SEED),
        guidance=_number(fields, "guidance", 0.0, MAX_GUIDANCE),
    )


def json_fields(body: bytes) -> Mapping[str, object]:
    """The JSON object of a body; `ApiError` 400 when it is something else."""
    try:
        fields: JsonValue = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid("We could not parse the JSON body of your request; send a JSON object such as {'prompt': 'a red ball'}.") from error
    if not isinstance(fields, dict):
        raise invalid("The body of your request must be a JSON object such as {'prompt': 'a red ball'}.")
    return fields


def schema() -> dict[str, object]:
    """The JSON schema of a request for a prompt, for /openapi.json."""
    return _object_schema(FIELDS, "prompt")


def variation_schema() -> dict[str, object]:
    """The schema of the form that asks for variations, for /openapi.json."""
    return _object_schema(VARIATION_FIELDS, "image")


def _object_schema(names: tuple[str, ...], required: str) -> dict[str, object]:
    integer: dict[str, object] = {"type": "integer", "nullable": True}
    number: dict[str, object] = {"type": "number", "nullable": True}
    text: dict[str, object] = {"type": "string", "nullable": True}
    properties: dict[str, dict[str, object]] = {
        "prompt": {"type": "string", "maxLength": MAX_PROMPT},
        "image": {"type": "string", "format": "binary", "description": "a PNG, JPEG, WebP or GIF picture of at most 4 MB"},
        "model": text,
        "n": integer | {"minimum": 1, "maximum": MAX_PICTURES, "default": 1},
        "size": text | {"enum": list(SIZES), "default": "1024x1024"},
        "response_format": text | {"enum": list(FORMATS), "default": "url"},
        "quality": text | {"enum": ["standard"]},
        "user": text,
        "seed": integer | {"minimum": 0, "description": "extension: picture i is painted with seed + i"},
        "guidance": number | {"minimum": 0, "maximum": MAX_GUIDANCE, "description": "extension: the decoder's guidance scale"},
    }
    chosen = {name: properties[name] for name in names}
    return {"type": "object", "required": [required], "properties": chosen, "additionalProperties": False}
