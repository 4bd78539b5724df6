"""What the tests of the server share: the Images API over real HTTP, and the `openai` client that asks it."""

from collections.abc import Iterator

import openai
import pytest

from images_server import Served, serving, small_service


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("home"), small_service()) as found:
        yield found


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, timeout=60) as found:
        yield found
