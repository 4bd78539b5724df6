"""Tests of placing and composing: boxes within the picture that hold what is drawn, in the right order, on the right ground."""

from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest

from unclip_pairs.images import decode, to_array
from unclip_starter.scenes.composing import Design, DesignDrawing, SceneDrawing, compose, draw_design, draw_scene
from unclip_starter.scenes.placing import places
from unclip_starter.scenes.scene import ABOVE, BESIDE, COLOURS, COUNT, FRONT, IN_FRONT, PAIR, SINGLE, Box, Wish
from unclip_starter.scenes.setting import placed, plain_scene, unplaced

LABELS = {"a": "square", "b": "bar"}


def svg(shape: str) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">{shape}</svg>'.encode()


@pytest.fixture
def designs(tmp_path: Path) -> dict[str, Design]:
    """A black square with a notch on its left, and a green bar."""
    square = svg('<path d="M2 2h6v6h-6v-2h3v-2h-3z" fill="#000"/>')
    bar = svg('<rect x="4" y="1" width="2" height="8" fill="#080"/>')
    return {name: draw_design(DesignDrawing(data, tmp_path / f"{name}.png", 100)) for name, data in (("a", square), ("b", bar))}


def overlap(one: Box, other: Box) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def test_a_design_knows_its_visible_part_and_where_it_can_be_seen(designs: dict[str, Design]) -> None:
    assert designs["a"].visible == (20, 20, 80, 80) and designs["b"].box == (0.4, 0.1, 0.6, 0.9)
    assert designs["a"].aspect == 1 and designs["b"].aspect == 0.25
    assert set(designs["a"].backgrounds) == set(COLOURS)


@pytest.mark.parametrize("seed", range(30))
def test_boxes_lie_within_the_picture_and_apart(seed: int) -> None:
    rng = Random(seed)
    aspects = [rng.uniform(0.4, 2.5), rng.uniform(0.4, 2.5)]
    for kind, relation, some in ((PAIR, BESIDE, aspects), (PAIR, ABOVE, aspects), *((COUNT, None, aspects[:1] * n) for n in (2, 3, 4))):
        boxes = places(kind, relation, None, some, rng)
        assert all(0 <= low < high <= 1 for box in boxes for low, high in ((box[0], box[2]), (box[1], box[3])))
        assert max(overlap(*pair) for pair in combinations(boxes, 2)) == 0
        if relation:
            place = 1 if relation == ABOVE else 0
            assert boxes[0][place + 2] <= boxes[1][place]


@pytest.mark.parametrize("seed", range(30))
def test_what_is_in_front_covers_a_part_of_what_is_behind(seed: int) -> None:
    front, back = places(FRONT, IN_FRONT, None, [1.0, Random(seed).uniform(0.5, 2.0)], Random(seed))
    area = (back[2] - back[0]) * (back[3] - back[1])
    assert 0.02 <= overlap(front, back) / area <= 0.6
    assert front[3] > (back[1] + back[3]) / 2


def test_sizes_differ() -> None:
    sides = {
        size: [box[2] - box[0] for seed in range(20) for box in places(SINGLE, None, size, [1.0], Random(seed))]
        for size in ("small", None, "large")
    }
    assert max(sides["small"]) < min(sides[None]) and max(sides[None]) < min(sides["large"])


def test_a_scene_is_drawn_where_its_boxes_say(designs: dict[str, Design], tmp_path: Path) -> None:
    wish = Wish(kind=PAIR, concepts=("a", "b"), style="noto", number=0, background="pink", relation=BESIDE)
    scene = placed(wish, (designs["a"], designs["b"]), LABELS, seed=0, attempt=0)
    assert scene == placed(wish, (designs["a"], designs["b"]), LABELS, seed=0, attempt=0)
    assert scene != placed(wish, (designs["a"], designs["b"]), LABELS, seed=0, attempt=1)
    pixels = to_array(compose(SceneDrawing(scene, (designs["a"], designs["b"]), tmp_path / "x.png", 100))).astype(int)
    assert pixels[0, 0].tolist() == list(COLOURS["pink"])
    for thing, colour in zip(scene.things, ((0, 0, 0), (0, 136, 0)), strict=True):
        left, top, right, bottom = (round(side * 100) for side in thing.box)
        rows, columns = np.nonzero((np.abs(pixels - np.array(colour)) < 40).all(axis=2))
        assert abs(np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) - [left, top, right, bottom]).max() <= 1


def test_a_mirrored_thing_looks_the_other_way(designs: dict[str, Design], tmp_path: Path) -> None:
    wish = Wish(kind=SINGLE, concepts=("a",), style="noto", number=0, size="large")
    scenes = [placed(wish, (designs["a"],), LABELS, seed=0, attempt=attempt) for attempt in range(20)]
    for mirrored in (False, True):
        scene = next(scene for scene in scenes if scene.things[0].mirrored is mirrored)
        pixels = to_array(compose(SceneDrawing(scene, (designs["a"],), tmp_path / "x.png", 100)))
        left, top, right, bottom = (round(side * 100) for side in scene.things[0].box)
        middle = (top + bottom) // 2
        assert (pixels[middle, left + 3, 0] > 128, pixels[middle, right - 4, 0] > 128) == (not mirrored, mirrored)


def test_the_front_thing_is_drawn_last_and_throws_a_shadow(designs: dict[str, Design], tmp_path: Path) -> None:
    wish = Wish(kind=FRONT, concepts=("a", "b"), style="noto", number=0, relation=IN_FRONT)
    scene = placed(wish, (designs["a"], designs["b"]), LABELS, seed=0, attempt=0)
    pixels = to_array(compose(SceneDrawing(scene, (designs["a"], designs["b"]), tmp_path / "x.png", 100)))
    left, top, right, bottom = (round(side * 100) for side in scene.things[0].box)
    assert pixels[top + 1, (left + right) // 2].max() < 20
    assert pixels[min(99, bottom + 2), (left + right) // 2].min() < 250


def test_a_drawn_scene_is_not_drawn_again(designs: dict[str, Design], tmp_path: Path) -> None:
    wish = Wish(kind=SINGLE, concepts=("a",), style="noto", number=0)
    scene = placed(wish, (designs["a"],), LABELS, seed=0, attempt=0)
    first = draw_scene(SceneDrawing(scene, (designs["a"],), tmp_path / "x.png", 100))
    designs["a"].path.unlink()
    again = draw_scene(SceneDrawing(scene, (designs["a"],), tmp_path / "x.png", 100))
    assert np.array_equal(first.bits, again.bits)
    assert decode((tmp_path / "x.png").read_bytes()).size == (100, 100)


def test_the_scene_is_written_with_boxes_or_without(designs: dict[str, Design]) -> None:
    wish = Wish(kind="plain", concepts=("a",), style="noto", number=0)
    scene = plain_scene(wish, designs["a"], LABELS)
    assert scene.as_json() == {
        "kind": "plain",
        "background": "white",
        "background_rgb": [255, 255, 255],
        "things": [{"concept": "a", "label": "square", "tone": None, "box": [0.2, 0.2, 0.8, 0.8], "mirrored": False}],
        "relation": None,
        "size": None,
    }
    assert "box" not in str(unplaced(wish, LABELS).as_json(boxes=False))
