"""Start of the labelling page: the store's pictures, the label book, and a link that only who started it knows."""

import secrets
from collections.abc import Callable

from unclip_labels.label_store import open_labels
from unclip_labels.raters import RestAdvice
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_server.labels.labelling import LabelPage, create_label_app
from unclip_server.sockets import bound_socket
from unclip_server.stored_pictures import StoredPictures

Say = Callable[[str], None]


def serve_labels(store: Store, host: str, port: int, pace: RestAdvice, say: Say) -> None:
    """Serves the labelling page until interrupted. `UserError` when no category is defined or the port is busy."""
    import uvicorn

    book = open_labels(store)
    if not book.categories():
        raise UserError("there is no category to label; `unclip label define docs/specifications/weapons.md` makes one")
    page = LabelPage(book, StoredPictures(store), pace, secrets.token_urlsafe(24))
    with bound_socket(host, port) as listening:
        say(f"label pictures at http://{host}:{listening.getsockname()[1]}/?token={page.token} (stop with Ctrl-C)")
        config = uvicorn.Config(create_label_app(page), log_level="warning", access_log=False, server_header=False, ws="none")
        uvicorn.Server(config).run(sockets=[listening])
    book.close()
