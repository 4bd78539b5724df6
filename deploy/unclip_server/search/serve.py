"""Start of the search page: the best engine that is installed, over indices that are built when they are missing."""

from collections.abc import Callable

from unclip_curation.search.retrieval import Vector
from unclip_curation.search.visibility import Visibility
from unclip_pairs.store import Store
from unclip_server.search.clip_retrieval_engine import best_engine
from unclip_server.search.finder import Finder
from unclip_server.search.search_page import create_search_app
from unclip_server.sockets import bound_socket
from unclip_server.stored_pictures import StoredPictures

Say = Callable[[str], None]
Towers = tuple[Callable[[str], Vector], Callable[[bytes], Vector]]


def serve_search(store: Store, folder: str, towers: Towers, safe: bool, address: tuple[str, int], say: Say) -> None:
    """Serves the page and clip-retrieval's service over one folder of embeddings until interrupted; `towers` make vectors of words and of
    encoded pictures. `UserError` when there are no embeddings, no safety verdicts while `safe`, or the port is busy."""
    import uvicorn

    visibility = Visibility(store, safe)
    visibility.shown([])  # says what is missing before anything is built
    with bound_socket(*address) as listening:
        finder = Finder(best_engine(store, folder), visibility, *towers, StoredPictures(store), address[0])
        say(f"search pictures at http://{address[0]}:{listening.getsockname()[1]}/ ({finder.engine.about}; stop with Ctrl-C)")
        config = uvicorn.Config(create_search_app(finder), log_level="warning", access_log=False, server_header=False, ws="none")
        uvicorn.Server(config).run(sockets=[listening])
