"""Clip-retrieval's service: the addresses, questions and answers of `clip-retrieval back`, so that its clients work."""

import base64
import binascii
import json

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from unclip_curation.search.retrieval import SearchQuery, SearchResult, Vector
from unclip_pairs.errors import UserError
from unclip_pairs.json_value import JsonObject, JsonValue
from unclip_pairs.limits import MAX_BYTES
from unclip_server.search.finder import Finder, number, read_body

MOST_RESULTS = 10_000
Question = JsonObject


def add_service(app: FastAPI, finder: Finder) -> None:
    """`/indices-list`, `/knn-service` and `/metadata` over the finder.

    Whatever a question says of safety, only what may be shown is answered with; pictures of other addresses are not fetched.
    """

    @app.get("/indices-list")
    def indices_list() -> list[str]:
        """The names of the indices."""
        return finder.engine.indices

    @app.post("/knn-service")
    async def knn_service(request: Request) -> Response:
        """The neighbours of a text, a picture (base64) or an embedding: id, similarity, url, caption, key."""
        question = await _question(request)
        return JSONResponse(await run_in_threadpool(_neighbours, finder, question))

    @app.post("/metadata")
    async def metadata(request: Request) -> Response:
        """What is known of rows of an index."""
        question = await _question(request)
        return JSONResponse(await run_in_threadpool(_described, finder, question))


async def _question(request: Request) -> Question:
    body = await read_body(request, 2 * MAX_BYTES)
    try:
        question: JsonValue = json.loads(body)
    except ValueError as error:
        raise UserError(f"the question is not JSON ({error}); send an object") from error
    if not isinstance(question, dict):
        raise UserError("the question is no JSON object; send one with text, image or embedding_input")
    return question


def _neighbours(finder: Finder, question: Question) -> list[SearchResult]:
    count = number(question.get("num_images"), "num_images", 40, MOST_RESULTS)
    asked = SearchQuery(
        count=number(question.get("num_result_ids"), "num_result_ids", count, MOST_RESULTS),
        indices=[str(question["indice_name"])] if question.get("indice_name") else None,
        modality=str(question.get("modality") or "image"),
        distinct=bool(question.get("deduplicate")),
    )
    return finder.find(_asked_vector(finder, question), asked)


def _asked_vector(finder: Finder, question: Question) -> Vector:
    if isinstance(text := question.get("text"), str) and text.strip():
        return finder.words(text)
    if isinstance(picture := question.get("image"), str):
        try:
            return finder.picture(base64.b64decode(picture, validate=True))
        except binascii.Error as error:
            raise UserError(f"image is not base64 ({error}); send the picture's bytes in base64") from error
    if (embedding := question.get("embedding_input")) is not None:
        return _as_vector(embedding)
    if question.get("image_url") is not None:
        raise UserError("image_url is not fetched here; send the picture itself as image, in base64")
    raise UserError("the question names nothing to search near to; give text, image or embedding_input")


def _as_vector(embedding: JsonValue) -> Vector:
    try:
        vector = np.asarray(embedding, dtype=np.float32).ravel()
    except (ValueError, TypeError) as error:
        raise UserError(f"embedding_input is no list of numbers ({error}); give one") from error
    if not np.isfinite(vector).all():
        raise UserError("embedding_input holds numbers that are not finite; give a list of numbers")
    return vector


def _asked_ids(value: JsonValue) -> list[int]:
    if isinstance(value, list) and len(value) <= MOST_RESULTS:
        ids = [one for one in value if isinstance(one, int) and not isinstance(one, bool)]
        if len(ids) == len(value):
            return ids
    raise UserError(f"ids must be a list of at most {MOST_RESULTS} whole numbers; give the ids of a search")


def _described(finder: Finder, question: Question) -> list[dict[str, object]]:
    index = str(question.get("indice_name"))
    if index not in finder.engine.indices:
        raise UserError(f"there is no index {index!r}; choose one of {', '.join(finder.engine.indices)}")
    rows = finder.visibility.shown(finder.engine.described(index, _asked_ids(question.get("ids"))))
    return [{"id": row["id"], "metadata": {name: value for name, value in row.items() if name != "id"}} for row in rows]
