"""Tests of sources: lists and folders of pictures, right and wrong."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from unclip_crawl.settings import CrawlSettings, settings_from_json
from unclip_crawl.sources.lists import pairs_from_folder, pairs_from_list
from unclip_pairs.errors import UserError

ROWS = [{"url": "http://h/a.png", "text": "a ball", "license": "MIT"}, {"url": "http://h/b.png", "text": 'a "big", cat', "license": None}]


def written(path: Path) -> Path:
    """`ROWS` in the format that the extension names."""
    if path.suffix == ".parquet":
        write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".csv":
        path.write_text('url,text,license\nhttp://h/a.png,a ball,MIT\nhttp://h/b.png,"a ""big"", cat",\n')
    else:
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    return path


@pytest.mark.parametrize("name", ["list.parquet", "list.csv", "list.jsonl"])
def test_the_same_list_reads_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    found = list(pairs_from_list(written(tmp_path / name)))
    assert [(pair.url, pair.caption, pair.licence) for pair in found] == [
        ("http://h/a.png", "a ball", "MIT"),
        ("http://h/b.png", 'a "big", cat', None),
    ]


def test_laions_columns_are_known(tmp_path: Path) -> None:
    write_table(pa.table({"URL": ["http://h/a.png"], "TEXT": ["a ball"], "WIDTH": [3]}), tmp_path / "l.parquet")
    assert next(pairs_from_list(tmp_path / "l.parquet")).caption == "a ball"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.csv", b"url,text\nhttp://h/a,b\nhttp://h/c,d,e\n", ["l.csv", "line 3", "3 fields"]),
        ("l.csv", b'url,text\nhttp://h/a,"b\n', ["l.csv", "line 2", "CSV"]),
        ("l.csv", b"link,words\nx,y\n", ["l.csv", "link, words", "url"]),
        ("l.csv", b"url,text\nhttp://h/\xff,b\n", ["l.csv", "line 2", "column 10", "UTF-8"]),
        ("l.csv", b"", ["l.csv", "url"]),
        ("l.jsonl", b'{"url": "http://h/a", "caption": "b"}\n{"url": \n', ["l.jsonl", "line 2", "JSON"]),
        ("l.jsonl", b'["http://h/a"]\n', ["l.jsonl", "line 1", "list"]),
        ("l.jsonl", b'{"url": "http://h/a"}\n', ["l.jsonl", "line 1", "caption"]),
        ("l.parquet", b"PAR1 this is not Parquet", ["l.parquet", "Parquet"]),
        ("l.txt", b"http://h/a\n", ["l.txt", ".txt", ".csv"]),
    ],
)
def test_a_broken_list_is_named_with_its_place(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(pairs_from_list(tmp_path / name))
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_missing_list_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.csv"):
        list(pairs_from_list(tmp_path / "gone.csv"))
    with pytest.raises(UserError, match="gone"):
        list(pairs_from_folder(tmp_path / "gone"))


def test_a_folder_gives_pictures_with_their_captions(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    (root / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b c.JPG", "plain.webp", "notes.pdf"):
        (root / name).write_bytes(b"x")
    (root / "a.txt").write_text("a red ball\n")
    (root / "sub/b c.json").write_text('{"caption": "a cat", "license": "CC0-1.0", "page_url": "http://h/"}')
    (root / "out.png").symlink_to("/etc/hostname")
    found = [(pair.url, pair.caption, pair.licence) for pair, _ in pairs_from_folder(root)]
    assert found == [
        ("file:///mine/a.png", "a red ball", None),
        ("file:///mine/plain.webp", "", None),
        ("file:///mine/sub/b%20c.JPG", "a cat", "CC0-1.0"),
    ]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"batch": "../x"}, "batch"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": ("example.org",)}, "example.org"),
        ({"delay_s": 0}, "delay_s"),
        ({"max_bytes": 10**12}, "max_bytes"),
        ({"timeout_s": "soon"}, "timeout_s"),
        ({"user_agent": "Mozilla/5.0"}, "user_agent"),
        ({"contact": ""}, "contact"),
        ({"no_such_field": 1}, "no_such_field"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(change: dict[str, object], word: str) -> None:
    good = {"batch": "a", "contact": "me@example.org", "seeds": ("http://h.example/",)}
    assert settings_from_json(CrawlSettings(**good).as_json()) == CrawlSettings(**good)
    with pytest.raises(UserError, match=word):
        settings_from_json(good | change)
