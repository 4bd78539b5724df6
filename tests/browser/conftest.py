"""Browser of the tests: headless Chromium that reaches nothing but this machine, and pages served for it to look at."""

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

Serve = Callable[[Any], str]
Shoot = Callable[[Any, str], Path]
QUIET = ["--no-sandbox", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for the whole session: Debian's, or the one that CHROMIUM names."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "no Chromium was found; install Debian's package chromium, or name one: CHROMIUM=/path/to/chromium make test-browser"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """An empty page. The test fails when a script of a page raises, or a page asks for anything that is not on this machine."""
    context = chromium.new_context(viewport={"width": 1100, "height": 800}, reduced_motion="reduce")
    opened, complaints = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: complaints.append(f"a script raised: {error}"))
    opened.on("request", lambda asked: None if _is_here(asked.url) else complaints.append(f"asked for {asked.url}"))
    yield opened
    context.close()
    assert complaints == []


def _is_here(url: str) -> bool:
    return re.match(r"(http://127\.0\.0\.1:|data:|blob:|about:)", url) is not None


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves an ASGI app on a free port of this machine until the test ends; gives its address."""
    with ExitStack() as running:
        yield lambda app: running.enter_context(served(app))


@contextmanager
def served(app: Any) -> Iterator[str]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the server ended before it began"
        assert time.monotonic() < deadline, "the server did not begin within 20 seconds"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def shoot(request: pytest.FixtureRequest, tmp_path: Path) -> Shoot:
    """Takes a screenshot of a page into the folder of --screenshots (or a temporary one); gives the file."""
    asked = request.config.getoption("--screenshots")
    folder = Path(asked) if asked else tmp_path

    def shot(page: Any, name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")
        return folder / f"{name}.png"

    return shot
