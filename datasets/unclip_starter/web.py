"""`unclip starter serve`: the starter site on loopback, in the foreground or in a process of its own."""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_starter.pages import ANNEX, MAIN
from unclip_starter.web_server import serve

START_TIMEOUT_S = 30.0


def _site_folder(store: Store) -> Path:
    if not (store.exists("starter/manifest.json") and store.exists("starter/site/site.json")):
        raise UserError(f"there is no starter site in {store}; run `unclip starter build` first")
    return store.local_path("starter/site")


def _ports(port: int) -> dict[str, int]:
    """The second host has the next port; 0 leaves both to the system."""
    if not 0 <= port < 65_535:
        raise UserError(f"port is {port}; choose one from 1024 to 65534, or 0 for any")
    return {MAIN: port, ANNEX: port + 1 if port else 0}


def _seeds(ports: dict[str, int]) -> list[str]:
    return [f"http://127.0.0.1:{port}/" for port in ports.values()]


def _busy(port: int, error: str) -> UserError:
    return UserError(f"port {port} or {port + 1} cannot be used ({error}); stop what is listening there or choose another with --port")


def serve_planted_web(store: Store, port: int, ready: Callable[[list[str]], None] | None = None) -> None:
    """Serves until interrupted; `ready` gets the addresses to begin with, one per host.

    `UserError` when no site is built or the port is busy.
    """

    def listening(taken: dict[str, int]) -> None:
        if ready is not None:
            ready(_seeds(taken))

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(_site_folder(store), _ports(port), listening))
    except OSError as error:
        raise _busy(port, error.strerror or str(error)) from error


class PlantedWeb:
    """The site served by a process of its own for the length of a `with` block.

    `seeds` are the addresses to begin a crawl with, one per host, and `url` is the first of them. The process ends with the block,
    and also when this process dies. A port of 0 takes any free one; the keys of crawled pairs depend on it, so a crawl that may be resumed
    needs a fixed one.
    """

    def __init__(self, store: Store, port: int = 0) -> None:
        self._folder = _site_folder(store)
        self._port, self._wanted = port, _ports(port)
        self.seeds = list[str]()

    @property
    def url(self) -> str:
        """The address of the main host's first page."""
        return self.seeds[0]

    def __enter__(self) -> "PlantedWeb":
        command = [sys.executable, "-m", "unclip_starter.web", str(self._folder), *map(str, self._wanted.values())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        watch = threading.Timer(START_TIMEOUT_S, self._process.kill)
        watch.start()
        line = self._process.stdout.readline()
        watch.cancel()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the server did not start"}
        if "error" in answer:
            self._stop()
            raise _busy(self._port, answer["error"])
        self.seeds = _seeds(answer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


def _say(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _serve_until_left(folder: Path, ports: dict[str, int]) -> None:
    """Serves until the other end of standard input is closed, as happens when the parent ends in whatever way."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def wait_for_end() -> None:
        sys.stdin.read()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)

    threading.Thread(target=wait_for_end, daemon=True).start()
    with contextlib.suppress(asyncio.CancelledError):
        await serve(folder, ports, _say)


def main() -> None:
    """`python -m unclip_starter.web FOLDER PORT ANNEX_PORT`; says its ports, or what is wrong, as one line of JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("ports", type=int, nargs=2)
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve_until_left(arguments.folder, dict(zip((MAIN, ANNEX), arguments.ports, strict=True))))
    except OSError as error:
        _say({"error": error.strerror or str(error)})


if __name__ == "__main__":
    main()
