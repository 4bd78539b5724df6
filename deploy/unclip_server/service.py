"""Image service: a request for pictures from its prompt to its PNGs, the same for the server and the command line.

Policy refusal, painting, output check and provenance are decided here once; callers add what is theirs (keys and queues, or files).
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError, decode
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store
from unclip_release.model_version import ModelVersion
from unclip_release.provenance import Provenance, png_bytes
from unclip_release.registry import open_registry
from unclip_safety.outputs import Check, open_checker
from unclip_safety.policy import PolicyFiles, Refusal, load_policy
from unclip_safety.prompts import Refuse, refuser

SIZES = (256, 512, 1024)
SOURCE_REFUSED = (
    "Your request was rejected as a result of our safety system. "
    "The image that you sent may contain content that is not allowed by our safety system."
)


class PolicyRefused(UserError):
    """The policy refuses a prompt or a picture. The message is the policy's; the category is for the audit log only."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.category = refusal.category


def _passed(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise PolicyRefused(refusal)


@dataclass(frozen=True)
class Source:
    """The picture that is varied, RGB, no side above the largest of `SIZES`, and the sha256 of the file that it came in."""

    image: Image.Image
    sha256: str


def read_source(data: bytes) -> Source:
    """The picture in a file's bytes: its first frame, turned as its EXIF says, transparency on white, made smaller where it is large.

    `DecodeError` when it is no picture, or beyond the bounds of crawled pictures.
    """
    try:
        image = decode(data)
        image.thumbnail((SIZES[-1], SIZES[-1]), Image.Resampling.LANCZOS, reducing_gap=None)
    except DecodeError:
        raise
    except Exception as error:  # hostile bytes may break a decoder in any way
        raise DecodeError("decode_error", f"{type(error).__name__}: {error}") from error
    return Source(image, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """One picture for each seed, from a prompt or from a source that is varied. `guidance` is the decoder's scale, None the model's own."""

    prompt: str | None = None
    source: Source | None = None
    seeds: tuple[int, ...]
    size: int = 256
    guidance: float | None = None

    def __post_init__(self) -> None:
        assert (self.prompt is None) != (self.source is None), "a request has either a prompt or a source"
        if self.size not in SIZES:
            raise UserError(f"size is {self.size}; choose one of {', '.join(map(str, SIZES))}")

    @property
    def kind(self) -> tuple[int, float | None, bool]:
        """Size, guidance and whether a picture is varied: requests of one kind can be painted in one call."""
        return self.size, self.guidance, self.source is not None


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """The version's label (`unclip/3`), the digest of its bundle, and when it was promoted (unix seconds, 0 when it was not)."""

    label: str
    manifest: str
    created: int = 0


Paint = Callable[[Sequence[str], Sequence[int], int, float | None], list[Image.Image]]
"""(prompts, seeds, size, guidance) to one RGB picture for each seed."""
Vary = Callable[[Sequence[Image.Image], Sequence[int], int], list[Image.Image]]
"""(pictures, seeds, size) to one other RGB picture for each picture and seed."""


@dataclass(frozen=True, kw_only=True)
class Painter:
    """A loaded generator: `paint` from prompts, and `vary` from pictures where it `can_vary`."""

    paint: Paint
    vary: Vary
    can_vary: bool = True


@dataclass(frozen=True, kw_only=True)
class ImageService:
    """A loaded model behind the two checks of the policy."""

    model: ServedModel
    painter: Painter
    refuse: Refuse
    check: Check

    def admit(self, request: PictureRequest) -> None:
        """`PolicyRefused` when the policy does not allow the prompt, or the picture that is to be varied."""
        if request.prompt is not None:
            _passed(self.refuse(request.prompt))
        if request.source is not None and (refusal := self.check(request.source.image)) is not None:
            raise PolicyRefused(replace(refusal, message=SOURCE_REFUSED))

    def paint(self, requests: Sequence[PictureRequest]) -> list[Image.Image]:
        """The RGB pictures of admitted requests of one kind, painted in one call, in the order of the requests and their seeds."""
        size, guidance, is_variation = requests[0].kind
        seeds = [seed for request in requests for seed in request.seeds]
        if is_variation:
            sources = [request.source.image for request in requests for _ in request.seeds if request.source is not None]
            return self.painter.vary(sources, seeds, size)
        prompts = [request.prompt for request in requests for _ in request.seeds if request.prompt is not None]
        return self.painter.paint(prompts, seeds, size, guidance)

    def finish(self, request: PictureRequest, images: Sequence[Image.Image]) -> list[bytes]:
        """The PNG bytes of painted pictures, with their provenance; `PolicyRefused` when a single one may not leave."""
        for image in images:
            _passed(self.check(image))
        return [png_bytes(image, self._provenance(request, seed)) for image, seed in zip(images, request.seeds, strict=True)]

    def generate(self, request: PictureRequest, progress: Progress = silent) -> list[bytes]:
        """One PNG for each seed; `PolicyRefused` when the policy does not allow the request or a picture."""
        self.admit(request)
        images = self.paint([request])
        progress(0, None, "checking the pictures")
        return self.finish(request, images)

    def _provenance(self, request: PictureRequest, seed: int) -> Provenance:
        return Provenance(
            model=self.model.label,
            manifest=self.model.manifest,
            seed=seed,
            prompt=request.prompt,
            source_sha256=None if request.source is None else request.source.sha256,
            guidance=request.guidance,
        )


def load_painter(folder: Path, progress: Progress = silent) -> Painter:
    """The painter over a bundle. torch is imported and the networks are loaded now; `progress` hears of the painting in percent."""
    from unclip_generation.loading import open_generator

    generator = open_generator(folder)

    def report(stage: str, fraction: float) -> None:
        progress(round(100 * fraction), 100, f"painting: {stage}")

    def paint(prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
        own = generator.guidance
        scales = own if guidance is None else replace(own, decoder=guidance)
        return generator.generate(prompts, seeds, size, scales, progress=report)

    def vary(images: Sequence[Image.Image], seeds: Sequence[int], size: int) -> list[Image.Image]:
        return generator.variations(images, seeds, size, progress=report)

    return Painter(paint=paint, vary=vary, can_vary=generator.can_vary)


def served_model(version: ModelVersion) -> ServedModel:
    """What is said of the champion."""
    promoted = version.tags.get("promoted", "")
    created = int(datetime.fromisoformat(promoted).timestamp()) if promoted else 0
    return ServedModel(label=version.label, manifest=version.digest, created=created)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Where the model is found, and the files of the policies."""

    store: Store
    tracking_uri: str | None = None
    policies: PolicyFiles = field(default_factory=PolicyFiles)


def open_service(settings: ServiceSettings, progress: Progress = silent, first: PictureRequest | None = None) -> ImageService:
    """The champion, loaded, behind the policy. The prompt of a `first` request is admitted before anything is loaded.

    `UserError` when no version is champion, its bundle is damaged, the policy is wrong, or a scorer of the output check cannot be loaded.
    """
    from unclip_curation.policy import load_policy as load_curation

    refuse = refuser(load_policy(settings.policies.safety))
    load_curation(settings.policies.curation)  # a wrong file is refused before seconds of loading
    _passed(refuse(first.prompt) if first is not None and first.prompt is not None else None)
    progress(0, None, "opening the champion")
    version, folder = open_registry(settings.store, settings.tracking_uri).champion()
    progress(0, None, f"loading the networks of {version.label}")
    with ThreadPoolExecutor(1) as beside:  # the check's networks are read while torch is imported
        check = beside.submit(open_checker, settings.policies)
        painter = load_painter(folder, progress)
        return ImageService(model=served_model(version), painter=painter, refuse=refuse, check=check.result())
