"""Local generation: pictures painted in this process by the image service, and written to a folder."""

from collections.abc import Sequence
from pathlib import Path

from unclip_assets.settings import Environment
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.images import DecodeError
from unclip_pairs.progress import Progress, silent
from unclip_server.service import PictureRequest, ServiceSettings, Source, open_service, read_source


def generate(environment: Environment, request: PictureRequest, out: Path, progress: Progress = silent) -> list[Path]:
    """One PNG per seed, named by it. `UserError`, and nothing is written, when the policy refuses the request or a picture, or no
    version is champion."""
    settings = ServiceSettings(store=open_store(environment.home), tracking_uri=environment.tracking_uri, policies=environment.policies)
    pngs = open_service(settings, progress, request).generate(request, progress)
    store = open_store(out)
    for seed, png in zip(request.seeds, pngs, strict=True):
        store.write_bytes(f"{seed}.png", png)
    return [store.path(f"{seed}.png") for seed in request.seeds]


def variation_request(picture: Path, seeds: Sequence[int], size: int) -> PictureRequest:
    """The request for pictures that mean what the picture means; `UserError` for a file that is no picture."""
    return PictureRequest(source=opened(picture), seeds=tuple(seeds), size=size)


def opened(picture: Path) -> Source:
    """The picture, its bounds checked; `UserError` when there is none."""
    try:
        return read_source(picture.read_bytes())
    except DecodeError as error:
        raise UserError(f"{picture} cannot be used ({error.detail}); give a PNG, JPEG, WebP or GIF picture") from error
    except OSError as error:
        raise UserError(f"{picture} cannot be read ({error.strerror}); give the path of a picture") from error
