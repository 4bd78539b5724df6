"""Tests of the browser of the tests itself: it shows what this machine serves and reaches nothing else."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

pytestmark = pytest.mark.browser


def app_with(body: str) -> FastAPI:
    app = FastAPI()

    @app.get("/", response_class=HTMLResponse)
    def root() -> str:
        return f"<!doctype html><title>t</title>{body}"

    return app


def test_a_page_of_this_machine_is_shown_and_photographed(page: Any, serve: Any, shoot: Any) -> None:
    page.goto(serve(app_with("<h1>here</h1>")))
    assert page.get_by_role("heading").inner_text() == "here"
    assert shoot(page, "browser").stat().st_size > 1000


def test_a_name_on_the_net_leads_nowhere(chromium: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://example.org/")
    context.close()
