"""Tests of the search page and clip-retrieval's service through their door: real HTTP on loopback."""

import base64
import importlib.util
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from unclip_curation.decisions.takedown_effects import meant_by
from unclip_curation.search.retrieval import ExactEngine
from unclip_curation.search.visibility import Visibility
from unclip_pairs.takedowns import record
from unclip_server.search.clip_retrieval_engine import ClipRetrievalEngine
from unclip_server.search.finder import Finder
from unclip_server.search.search_page import create_search_app, is_meant
from unclip_server.stored_pictures import StoredPictures

WITH_CLIP_RETRIEVAL = pytest.mark.skipif(importlib.util.find_spec("clip_retrieval") is None, reason="clip-retrieval is not installed")
ENGINES = [pytest.param("ours"), pytest.param("theirs", marks=WITH_CLIP_RETRIEVAL)]


@pytest.fixture(params=ENGINES)
def address(request: pytest.FixtureRequest, searchable: Any) -> Iterator[str]:
    """The page over our exact search and over clip-retrieval's service."""
    kind = ExactEngine if request.param == "ours" else ClipRetrievalEngine
    engine, visibility = kind(searchable.store, searchable.folder), Visibility(searchable.store)
    finder = Finder(engine, visibility, searchable.words, searchable.picture, StoredPictures(searchable.store))
    server = uvicorn.Server(uvicorn.Config(create_search_app(finder), host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def ask(address: str, **question: Any) -> Any:
    return httpx.post(f"{address}/knn-service", json={"modality": "image", "num_images": 6, "indice_name": "a"} | question).json()


def test_the_service_answers_as_clip_retrieval_does(address: str, searchable: Any) -> None:
    assert httpx.get(f"{address}/indices-list").json() == ["a"]
    found = ask(address, text="red")
    assert [row["caption"].split()[1] for row in found] == ["red"] * 6
    assert {"id", "similarity", "url", "caption", "key"} <= set(found[0])
    picture, kind = StoredPictures(searchable.store)(found[2]["key"]) or (b"", "")
    assert kind == "image/png"
    assert ask(address, image=base64.b64encode(picture).decode())[0]["key"] == found[2]["key"]
    assert ask(address, embedding_input=searchable.picture(picture).tolist())[0]["similarity"] == pytest.approx(1, abs=1e-5)
    captions = ask(address, text="blue", modality="text")
    assert {row["caption"].split()[1] for row in captions} == {"blue"}
    told = httpx.post(f"{address}/metadata", json={"ids": [found[0]["id"], 999], "indice_name": "a"}).json()
    assert [row["metadata"]["key"] for row in told] == [found[0]["key"]]


def test_a_takedown_is_gone_at_once_from_service_page_and_pictures(address: str, searchable: Any) -> None:
    first = ask(address, text="red")
    gone = first[0]
    assert httpx.get(f"{address}/picture/{gone['key']}").status_code == 200
    record(searchable.store, meant_by(searchable.store, "key", gone["key"]))
    assert [row["key"] for row in ask(address, text="red")][:5] == [row["key"] for row in first[1:]]
    assert len(ask(address, text="red")) == 6
    assert httpx.get(f"{address}/picture/{gone['key']}").status_code == 404
    assert gone["key"] not in httpx.get(f"{address}/", params={"q": "red"}).text
    assert httpx.post(f"{address}/metadata", json={"ids": [gone["id"]], "indice_name": "a"}).json() == []
    assert httpx.get(f"{address}/", params={"like": gone["key"]}).status_code == 400


def test_what_is_not_safe_is_hidden_whatever_is_asked(address: str, searchable: Any) -> None:
    first = ask(address, text="red")[0]["key"]
    searchable.decide("safety", {first: "explicit"})
    assert first not in [row["key"] for row in ask(address, text="red", use_safety_model=False)]
    assert httpx.get(f"{address}/picture/{first}").status_code == 404


def test_a_wrong_question_is_one_sentence_and_no_address_is_fetched(address: str) -> None:
    wrong = [
        {"image_url": "http://169.254.169.254/"},
        {"text": "red", "indice_name": "b"},
        {"text": "red", "modality": "sound"},
        {"text": "red", "num_images": -1},
        {"image": "%%%"},
        {"image": base64.b64encode(b"no picture").decode()},
        {"embedding_input": [1.0, 2.0]},
        {"embedding_input": ["a"]},
        {},
    ]
    for question in wrong:
        assert set(ask(address, **question)) == {"error"}, question
    assert httpx.post(f"{address}/knn-service", content=b"[").status_code == 400
    assert httpx.post(f"{address}/metadata", json={"ids": ["0"], "indice_name": "a"}).status_code == 400


def test_the_page_finds_by_words_likeness_and_picture_without_a_script(address: str, searchable: Any) -> None:
    assert "captions" in httpx.get(address).text
    answer = httpx.get(f"{address}/", params={"q": "<b>red</b>", "n": 3})
    assert answer.text.count("<li>") == 3 and "<b>red" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"] and "http" not in answer.headers["content-security-policy"]
    key = ask(address, text="blue")[0]["key"]
    assert f'<img src="/picture/{key}"' in httpx.get(f"{address}/", params={"like": key, "n": 1}).text
    picture, _ = StoredPictures(searchable.store)(key) or (b"", "")
    place = httpx.post(f"{address}/picture-query", content=picture).json()["address"]
    assert f'src="/picture/{key}"' in httpx.get(address + place).text
    assert "forgotten" in httpx.get(f"{address}/?picture=0000").text
    assert httpx.post(f"{address}/picture-query", content=b"none").status_code == 400
    assert httpx.get(f"{address}/", params={"q": "red", "n": "many"}).status_code == 400


def test_a_page_elsewhere_that_points_its_name_here_reads_nothing(address: str) -> None:
    assert httpx.get(address, headers={"host": "rebound.example.org"}).status_code == 421
    assert httpx.get(address, headers={"host": "localhost:1"}).status_code == 200
    assert is_meant("[::1]:80", "127.0.0.1") and is_meant("127.0.0.1", "::1") and not is_meant("", "127.0.0.1")
    assert is_meant("pictures.example.org", "0.0.0.0")


@WITH_CLIP_RETRIEVAL
@pytest.mark.parametrize("address", ["theirs"], indirect=True)
def test_clip_retrievals_own_client_is_answered(address: str) -> None:
    from clip_retrieval.clip_client import ClipClient, Modality

    client = ClipClient(url=f"{address}/knn-service", indice_name="a", modality=Modality.IMAGE, num_images=4)
    assert [row["caption"].split()[1] for row in client.query(text="green")] == ["green"] * 4


@WITH_CLIP_RETRIEVAL
def test_starting_clip_retrieval_leaves_the_metrics_of_others_alone(searchable: Any) -> None:
    from prometheus_client import REGISTRY, Counter

    counter = Counter(f"kept_{searchable.keys[0]}", "a metric of ours")
    ClipRetrievalEngine(searchable.store, searchable.folder)
    assert REGISTRY.get_sample_value(f"kept_{searchable.keys[0]}_total") == 0
    REGISTRY.unregister(counter)
