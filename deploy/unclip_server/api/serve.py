"""Server's start: everything that can be wrong is found out before the first request, and said in a sentence."""

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_release.registry import ModelVersion, open_registry
from unclip_safety.outputs import checker
from unclip_safety.policy import load_policy
from unclip_safety.prompts import refuser
from unclip_server.api.access import open_access
from unclip_server.api.app import create_app
from unclip_server.api.batching import Paint
from unclip_server.api.images import Options, Parts, ServedModel
from unclip_server.api.results import Results
from unclip_server.api.settings import Settings

Say = Callable[[str], None]


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket on that address; `UserError` when the port is busy or forbidden, or the address is not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"the host {host!r} is not an address ({error}); use 127.0.0.1, or an address of this machine") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} on {host} is in use; choose another with --port, or stop the program that holds it") from error
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --host or --port") from error
    return listening


def load_painter(folder: Path) -> Paint:
    """The painter over a bundle. torch is imported and the networks are loaded now."""
    from unclip_generation.pipeline import UnCLIP

    networks = UnCLIP.load(folder)
    own = networks.bundle.guidance

    def paint(prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
        return networks.generate(prompts, seeds, size, own if guidance is None else replace(own, decoder=guidance))

    return paint


def served_model(version: ModelVersion) -> ServedModel:
    """What the server says of the champion."""
    promoted = version.tags.get("promoted", "")
    created = int(datetime.fromisoformat(promoted).timestamp()) if promoted else 0
    return ServedModel(label=version.label, manifest=version.digest, created=created)


def serve(settings: Settings, say: Say, painter: Callable[[Path], Paint] = load_painter) -> None:
    """Serves the champion until interrupted.

    `UserError`, before anything is served, when the port is busy, no version is champion, its bundle is damaged, the policy is
    wrong, or a scorer of the output check cannot be loaded.
    """
    store = open_store(settings.home)
    with bound_socket(settings.host, settings.port) as listening:
        policy = load_policy(settings.policy)
        version, folder = open_registry(store, settings.tracking_uri).champion()
        access = open_access(store)
        parts = Parts(
            paint=painter(folder),
            refuse=refuser(policy),
            check=checker(policy),
            access=access,
            results=Results(store, access.secret("links")),
            model=served_model(version),
            options=Options(
                images_per_minute=settings.images_per_minute,
                max_waiting=settings.max_waiting,
                max_batch=settings.max_batch,
                public_url=settings.public_url,
            ),
        )
        say(f"{version.label} is served at http://{settings.host}:{listening.getsockname()[1]}/v1 (stop with Ctrl-C)")
        if not any(key.revoked is None for key in access.all_keys()):
            say("there is no key yet: `unclip keys create NAME` makes one")
        _run(parts, listening)
        access.close()


def _run(parts: Parts, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(create_app(parts), log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])
