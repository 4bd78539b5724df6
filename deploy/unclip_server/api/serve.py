"""Start of the Images API: everything that can be wrong is found out before the first request, and said in a sentence."""

import socket
from collections.abc import Callable

from unclip_pairs.home import open_store
from unclip_server.api.access import open_access
from unclip_server.api.app import create_app
from unclip_server.api.images import Dependencies
from unclip_server.api.results import Results
from unclip_server.api.settings import Settings
from unclip_server.service import ServiceSettings, open_service
from unclip_server.sockets import bound_socket

Say = Callable[[str], None]


def serve(settings: Settings, say: Say) -> None:
    """Serves the champion until interrupted.

    `UserError`, before anything is served, when the port is busy, no version is champion, its bundle is damaged, the policy is
    wrong, or a scorer of the output check cannot be loaded.
    """
    store = open_store(settings.home)
    with bound_socket(settings.host, settings.port) as listening:
        service = open_service(ServiceSettings(store=store, tracking_uri=settings.tracking_uri, policies=settings.policies))
        access = open_access(store)
        say(f"{service.model.label} is served at http://{settings.host}:{listening.getsockname()[1]}/v1 (stop with Ctrl-C)")
        if not any(key.revoked is None for key in access.all_keys()):
            say("there is no key yet: `unclip keys create NAME` makes one")
        results = Results(store, access.secret("links"))
        _run(Dependencies(service=service, access=access, results=results, settings=settings), listening)
        access.close()


def _run(dependencies: Dependencies, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(create_app(dependencies), log_level="warning", access_log=False, server_header=False, ws="none")
    uvicorn.Server(config).run(sockets=[listening])
