"""Tests of the starter corpus: packages, concepts, twins, captions and what is planted."""

import dataclasses
import io
import json
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pdqhash
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from unclip_crawl.pages.html import read_pairs
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.images import DecodeError, decode, encode_png, to_array
from unclip_pairs.store import Store
from unclip_starter.build import FULL, SMOKE, build_starter
from unclip_starter.captions import SENTENCES, STYLE_WORDS, caption, email_caption, foreign_caption, noun
from unclip_starter.concepts import Concept, in_order
from unclip_starter.defects import PATTERNS, blank_picture, block_list, bomb_picture, broken_picture, near_copy, stand_in
from unclip_starter.packages import Package, code_point, fetch_packages, find_npm, integrity, members
from unclip_starter.pictures import Drawing, choose, draw, look
from unclip_starter.scenes.everyday import read_table
from unclip_starter.scenes.sentences import NEUTRAL, PROMPTS
from unclip_starter.scenes.words import OWN_STYLES


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def concept(code: str, label: str = "red apple", group: str = "food and drink") -> Concept:
    return Concept(code, label, group, None, ())


def shape(seed: int, colour: str = "black") -> Image.Image:
    """A picture that looks like no other seed's."""
    image = Image.new("RGB", (256, 256), "white")
    pen, points = ImageDraw.Draw(image), np.random.default_rng(seed).integers(0, 256, (12, 2))
    for first, second in zip(points[::2], points[1::2], strict=True):
        low, high = np.minimum(first, second), np.maximum(first, second) + 20
        pen.rectangle((*low.tolist(), *high.tolist()), fill=colour if first[0] % 2 else "gray")
    return image


def test_code_points_are_compared_without_the_presentation_selector() -> None:
    assert code_point("2764-FE0F-200D-1F525") == code_point("2764-200d-1f525") == "2764-200d-1f525"


def packed(store: Store, files: dict[str, bytes]) -> Package:
    package = Package("tiny", "1.0.0", "", "", "")
    path = store.path(f"starter/npm/{package.file}")
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return dataclasses.replace(package, integrity=integrity(path))


def test_a_package_that_is_there_is_not_fetched_again(store: Store) -> None:
    package = packed(store, {"a.json": b"1", "b/c.svg": b"2", "d.txt": b"3"})
    fetch_packages(store, [package], npm=Path("/nonexistent/npm"))
    assert members(store, package, lambda name: not name.endswith("txt")) == {"a.json": b"1", "b/c.svg": b"2"}


def test_a_package_that_cannot_be_had_is_named_with_the_remedy(store: Store, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network getaddrinfo ENOTFOUND registry' >&2\nexit 1\n")
    npm.chmod(0o755)
    package = Package("@iconify-json/noto", "1.2.9", "sha512-x", "", "")
    with pytest.raises(
        UserError, match=r"@iconify-json/noto@1\.2\.9 cannot be had: npm error network.*put iconify-json-noto-1\.2\.9\.tgz into"
    ):
        fetch_packages(store, [package], npm=npm)


def test_a_package_with_another_digest_is_refused(store: Store, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho hello > "$4/tiny-1.0.0.tgz"\n')
    npm.chmod(0o755)
    with pytest.raises(UserError, match="not what was pinned"):
        fetch_packages(store, [Package("tiny", "1.0.0", "sha512-x", "", "")], npm=npm)
    assert store.names("starter/") == []


def test_npm_is_found_beside_this_python() -> None:
    npm = find_npm()
    assert npm is not None and npm.exists()


def test_one_of_each_family_is_tried_and_faces_and_symbols_come_last() -> None:
    known = [concept("1f469-200d-1f52c"), concept("1f468-200d-1f52c"), concept("1f600", group="faces"), concept("26a0", group="symbols")]
    known += [concept(f"1f9{n}0") for n in range(9)] + [concept("abcd")]
    available = {one.id for one in known} - {"abcd"}
    tried = in_order(known, available, seed=0)
    assert [one.group for one in tried[-2:]] == ["faces", "symbols"]
    assert len(tried) == 12 and len({one.family for one in tried}) == 12
    assert tried == in_order(reversed(known), available, seed=0) != in_order(known, available, seed=1)


def test_an_svg_is_drawn_once_on_white(tmp_path: Path) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect x="2" y="2" width="6" height="6" fill="#00f"/></svg>'
    first = draw(Drawing(svg, tmp_path / "a.png", 64))
    pixels = to_array(decode((tmp_path / "a.png").read_bytes()))
    assert pixels.shape == (64, 64, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[32, 32].tolist() == [0, 0, 255]
    again = draw(Drawing(b"not even an svg", tmp_path / "a.png", 64))
    assert np.array_equal(first.bits, again.bits)


def test_a_picture_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="6" height="6"/></svg>'
    with pytest.raises(UserError, match="UNCLIP_HOME"):
        draw(Drawing(svg, tmp_path / "file" / "a.png", 64))


def test_twins_are_left_out_within_a_concept_and_between_concepts() -> None:
    pictures = {
        "a": {"noto": shape(1), "twemoji": shape(2), "openmoji": shape(3)},
        "b": {"noto": shape(4), "twemoji": ImageOps.mirror(shape(2)), "openmoji": shape(5)},
        "c": {"noto": shape(6), "twemoji": shape(6, "darkred"), "openmoji": shape(7)},
        "d": {"noto": Image.new("RGB", (256, 256), "white"), "twemoji": shape(8), "openmoji": shape(8)},
        "e": {"noto": shape(9), "twemoji": shape(10), "openmoji": shape(11)},
    }
    looks = [{style: look(image) for style, image in styles.items()} for styles in pictures.values()]
    chosen = list(choose([concept(name) for name in pictures], lambda _: iter(looks), wanted=9, min_styles=2, seed=0))
    assert [one.concept.id for one in chosen] == ["a", "c", "e"]
    assert [len(one.styles) for one in chosen] == [3, 2, 3]


def test_captions_name_concept_and_style_and_are_repeatable() -> None:
    for number in range(50):
        for style, words in STYLE_WORDS.items():
            text = caption(concept(f"1f{number}"), style, None, seed=0)
            assert "a red apple" in text and any(word in text for word in words)
            assert text == caption(concept(f"1f{number}"), style, None, seed=0)
    assert len({caption(concept(f"1f{n}"), "noto", None, 0) for n in range(50)}) > 2 * len(SENTENCES)
    assert "with dark skin tone" in caption(concept("1f44b", "waving hand"), "noto", "dark", 0)


@pytest.mark.parametrize(
    ("label", "words"),
    [("apple", "an apple"), ("unicorn", "a unicorn"), ("eyes", "eyes"), ("Mrs. Claus", "Mrs. Claus"), ("octopus", "an octopus")],
)
def test_nouns_take_their_article(label: str, words: str) -> None:
    assert noun(label) == words


def test_bad_captions_are_what_they_say() -> None:
    assert all(re.search(r"\S+@\S+\.\w+", email_caption("a cat", number)) for number in range(30))
    labels = {"fr": {"1f34e": "pomme rouge"}, "de": {"1f34e": "roter Apfel"}}
    texts = [foreign_caption(labels, "1f34e", number) for number in range(4)]
    assert len(set(texts)) == 4 and all(len(text.split()) >= 6 for text in texts)


def bits(image: Image.Image) -> NDArray[np.int64]:
    return pdqhash.compute(to_array(image))[0]


def test_near_copies_stay_near_and_are_never_the_same_bytes() -> None:
    original = shape(3)
    for number in range(12):
        data, _ = near_copy(encode_png(original), number)
        distances = [int((bits(decode(data)) != bits(one)).sum()) for one in (original, ImageOps.mirror(original))]
        assert min(distances) <= 31 and data != encode_png(original)


def test_stand_ins_are_on_the_block_list_and_drawings_are_not() -> None:
    listed = [np.unpackbits(np.frombuffer(bytes.fromhex(one["pdq"]), np.uint8)) for one in block_list(256)["hashes"]]
    assert len(listed) == PATTERNS
    for number in range(20):
        found = bits(decode(stand_in(number, 256)))
        assert (found != listed[number % PATTERNS]).sum() <= 31
    assert min((bits(shape(seed)) != one).sum() for seed in range(5) for one in listed) > 60


def test_planted_damage_is_damage() -> None:
    reasons = set[str]()
    for number in range(6):
        with pytest.raises(DecodeError) as caught:
            decode(broken_picture(encode_png(shape(number)), number))
        reasons.add(caught.value.reason)
    assert reasons == {"decode_error", "not_an_image"}
    with pytest.raises(DecodeError, match="too_many_pixels"):
        decode(bomb_picture(0))
    assert len(bomb_picture(1)) < 20_000
    assert all(to_array(decode(blank_picture(number, 64))).std(axis=(0, 1)).max() < 1 for number in range(6))


def test_sizes_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(UserError, match="styles"):
        dataclasses.replace(SMOKE, styles=("noto", "apple"))
    with pytest.raises(UserError, match="concepts is 2"):
        dataclasses.replace(SMOKE, concepts=2)
    with pytest.raises(UserError, match="scenes is 10; take at least"):
        dataclasses.replace(SMOKE, scenes=10)
    assert FULL.concepts >= 72 and len(FULL.styles) == 5


SMALL = dataclasses.replace(SMOKE, concepts=12, styles=("noto", "twemoji"), scenes=80, held_out=20)


def rows(store: Store) -> list[dict[str, str | None]]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(store.path("starter/truth.parquet")).to_pylist()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A real, small build from npm."""
    store = open_store(tmp_path_factory.mktemp("home"))
    build_starter(store, SMALL)
    return store


@pytest.mark.slow
def test_a_real_build_is_whole_and_repeatable(built: Store, tmp_path: Path) -> None:
    first = build_starter(built, SMALL)
    reported = list[str]()
    assert build_starter(built, SMALL, lambda done, total, message="": reported.append(message)) == first and not reported
    other = open_store(tmp_path)
    for name in built.names("starter/npm/"):
        other.write_bytes(name, built.read_bytes(name))
    assert build_starter(other, SMALL).digest == first.digest


@pytest.mark.slow
def test_every_planted_class_is_in_the_ground_truth_and_held_out_ones_are_untouched(built: Store) -> None:
    ground_truth = rows(built)
    paths = [row["url_path"] for row in ground_truth]
    assert len(set(paths)) == len(paths)
    assert {row["planted"] for row in ground_truth} == {
        None, "opted_out", "slow", "broken", "huge", "redirect_loop", "missing", "exact_duplicate", "near_duplicate", "wrong_caption",
        "email_caption", "boilerplate_caption", "foreign_caption", "explicit_stand_in", "denied_licence", "blank",
    }  # fmt: skip
    held = [row for row in ground_truth if row["split"] == "held_out"]
    assert held and all(row["planted"] is None and row["held_out"] for row in held)
    assert {row["held_out"] for row in held} == {"style", "background", "tone", "relation", "count"}
    assert not any(row["held_out"] for row in ground_truth if row["split"] == "train")
    copied = {row["duplicate_of"] for row in ground_truth}
    assert not copied & {row["url_path"] for row in held}
    assert all(row["caption"] != row["true_caption"] for row in ground_truth if row["planted"] == "wrong_caption")
    good = [row for row in ground_truth if row["planted"] is None]
    assert len({row["concept"] for row in good}) == 12 and all(row["expected"] == "ok" for row in good)
    assert {json.loads(row["attributes"] or "")["credit"] for row in good} == {"Noto Emoji (Google)", "Twemoji (Twitter and contributors)"}


BUILD = """
import sys
from unclip_starter.build import SMOKE, build_starter
from unclip_pairs.home import open_store
import dataclasses
if __name__ == "__main__":
    build_starter(open_store(sys.argv[1]), dataclasses.replace(SMOKE, concepts=12, styles=("noto", "twemoji"), scenes=80, held_out=20))
"""


@pytest.mark.slow
def test_a_killed_build_goes_on_where_it_was(built: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "home")
    for name in built.names("starter/npm/"):
        other.write_bytes(name, built.read_bytes(name))
    script = tmp_path / "build.py"
    script.write_text(BUILD)
    with subprocess.Popen([sys.executable, str(script), str(other.root)]) as process:
        while process.poll() is None and len(other.names("starter/site/pictures/")) < 10:
            time.sleep(0.02)
        process.kill()
    assert not other.exists("starter/manifest.json")
    before = {name: other.path(name).stat().st_mtime_ns for name in other.names("starter/site/pictures/")}
    assert len(before) >= 10
    time.sleep(1.5)  # the workers notice within a second that their parent is gone
    subprocess.run([sys.executable, str(script), str(other.root)], check=True)
    assert {name: other.path(name).stat().st_mtime_ns for name in before} == before
    assert other.read_json("starter/manifest.json")["digest"] == built.read_json("starter/manifest.json")["digest"]


@pytest.mark.slow
def test_only_true_captions_stand_in_the_list_of_true_ones(built: Store) -> None:
    for row in rows(built):
        true = json.loads(row["captions"] or "")
        assert true[0] == row["true_caption"] and len(set(true)) == len(true)
        if row["planted"] is None:
            assert row["caption"] == true[0] and 4 <= len(true) <= 5
        if row["planted"] in ("wrong_caption", "email_caption", "boilerplate_caption", "foreign_caption", "blank", "explicit_stand_in"):
            assert len(true) == 1 and row["caption"] != true[0]


@pytest.mark.slow
def test_a_bad_caption_has_no_good_one_beside_it(built: Store) -> None:
    pages = built.read_json("starter/site/site.json")["pages"]
    for row in rows(built):
        if row["planted"] in ("email_caption", "boilerplate_caption", "foreign_caption"):
            page = read_pairs(pages[row["page_path"]].encode(), f"http://127.0.0.1{row['page_path']}", "bot")
            (pair,) = (one for one in page.pairs if one.url.endswith(row["url_path"] or ""))
            assert (pair.context.title, pair.context.figcaption) == ("", "")
            assert pair.context.text_before.endswith(NEUTRAL[0]) and pair.context.text_after.startswith(NEUTRAL[1])


@pytest.mark.slow
def test_no_training_picture_shows_what_is_withheld(built: Store) -> None:
    good = [row for row in rows(built) if row["planted"] is None]
    trained = {combination for row in good if row["split"] == "train" for combination in combinations(row)}
    for row in good:
        if row["split"] == "held_out":
            assert {kind for kind, *combination in combinations(row) if (kind, *combination) not in trained} >= {row["held_out"]}


def combinations(row: dict[str, str | None]) -> set[tuple[str, str, str]]:
    """(kind, concept, value) of everything that the figure's scene combines."""
    scene = json.loads(row["scene"] or "")
    things, first = scene["things"], scene["things"][0]
    found = {("style", thing["concept"], row["style"] or "") for thing in things}
    found |= {("background", thing["concept"], scene["background"]) for thing in things}
    found |= {("tone", first["concept"], first["tone"])} if first["tone"] else set()
    found |= {("relation", first["concept"], scene["relation"])} if scene["relation"] else set()
    return found | ({("count", first["concept"], str(len(things)))} if scene["kind"] == "count" else set())


@pytest.mark.slow
def test_prompts_use_no_words_of_captions_where_they_say_so(built: Store) -> None:
    text = " | ".join(" ".join(json.loads(row["captions"] or "")) + f" {row['caption']}" for row in rows(built)).lower()
    said = [name for row in read_table() for name in row["own"]] + [word for style in OWN_STYLES.values() for word in style]
    fragments = [part.strip(" ,?") for template in PROMPTS for part in re.split(r"\{\w+\}", template) if len(part.split()) > 1]
    assert [
        word for word in [*said, *(part for part in fragments if " " in part)] if re.search(rf"\b{re.escape(word.lower())}\b", text)
    ] == []


@pytest.mark.slow
def test_each_set_of_prompts_is_asked_of_what_the_corpus_holds(built: Store) -> None:
    prompts = built.read_json("starter/prompts.json")
    assert prompts["format"] == 1 and set(prompts["sets"]) == {"own_words", "attributes", "held_out", "scenes"}
    good = [row for row in rows(built) if row["planted"] is None]
    trained = {(row["concept"], row["style"]) for row in good if row["split"] == "train"}
    for name, entries in prompts["sets"].items():
        assert 8 <= len(entries) <= SMALL.prompts
        assert len({entry["prompt"] for entry in entries}) == len(entries)
        assert all(entry["style"] in SMALL.styles for entry in entries)
        assert all("box" not in thing for entry in entries if entry["scene"] for thing in entry["scene"]["things"])
        assert any(not entry["seen"] for entry in entries) == (name != "own_words")
    for entry in prompts["sets"]["own_words"]:
        assert (entry["concept"], entry["style"]) in trained and entry["scene"] is None
    for entry in prompts["sets"]["held_out"]:
        assert ((entry["concept"], entry["style"]) in trained) == entry["seen"]


@pytest.mark.slow
def test_no_training_picture_has_concept_style_and_attributes_of_a_held_out_one(built: Store) -> None:
    known = {
        split: {(row["concept"], row["style"], row["attributes"]) for row in rows(built) if row["split"] == split}
        for split in ("train", "held_out")
    }
    assert known["held_out"] and not known["train"] & known["held_out"]


@pytest.mark.slow
def test_boxes_hold_what_was_drawn(built: Store) -> None:
    routes = built.read_json("starter/site/site.json")["routes"]
    for row in rows(built):
        scene = json.loads(row["scene"] or "{}")
        if row["planted"] is None and scene["kind"] in ("single", "pair", "count") and routes[row["url_path"]]["do"] == "file":
            pixels = to_array(decode(built.read_bytes(f"starter/site/{routes[row['url_path']]['file']}"))).astype(int)
            other = np.abs(pixels - np.array(scene["background_rgb"])).max(axis=2) > 40
            for thing in scene["things"]:
                left, top, right, bottom = (round(side * SMALL.size) for side in thing["box"])
                assert other[top:bottom, left:right].any()
                other[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2] = False
            assert other.mean() < 0.001
