"""Published dataset of drawn scenes: shapes in three colours on backgrounds, pairs, counts and faces in three tones, with prompts."""

import itertools
import json
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from unclip_pairs.home import open_store
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.shards import write_shard
from unclip_pairs.store import Store

SIDE = 128
BACKGROUNDS = {"white": (255, 255, 255), "yellow": (250, 220, 90), "violet": (120, 70, 160)}
STYLES = {"red": (200, 20, 40), "green": (20, 130, 60), "blue": (30, 60, 220)}
TONES = {"light": (247, 215, 196), "medium": (191, 143, 104), "dark": (89, 69, 57)}
CONCEPTS = ("disc", "bar", "cross", "wedge", "face")
JsonDict = dict[str, Any]


def thing(concept: str, box: tuple[float, float, float, float] = (0.1, 0.1, 0.9, 0.9), tone: str | None = None) -> JsonDict:
    """A thing of a scene, as the ground truth has it."""
    return {"concept": concept, "label": concept, "tone": tone, "box": list(box), "mirrored": False}


def scene(kind: str, *things: JsonDict, background: str = "white", relation: str | None = None, size: str | None = None) -> JsonDict:
    """A scene, as the ground truth has it."""
    rgb = list(BACKGROUNDS[background])
    return {"kind": kind, "background": background, "background_rgb": rgb, "things": list(things), "relation": relation, "size": size}


def draw_scene(shown: JsonDict, style: str) -> Image.Image:
    """The picture of a scene, 128 px."""
    image = Image.new("RGB", (SIDE, SIDE), tuple(shown["background_rgb"]))
    pen = ImageDraw.Draw(image)
    for one in shown["things"]:
        x0, y0, x1, y1 = (round(SIDE * value) for value in one["box"])
        wide, high = x1 - x0, y1 - y0
        match one["concept"]:
            case "disc":
                pen.ellipse((x0, y0, x1, y1), STYLES[style])
            case "bar":
                pen.rectangle((x0, y0 + high // 3, x1, y1 - high // 3), STYLES[style])
            case "cross":
                pen.rectangle((x0 + wide // 3, y0, x1 - wide // 3, y1), STYLES[style])
                pen.rectangle((x0, y0 + high // 3, x1, y1 - high // 3), STYLES[style])
            case "wedge":
                pen.polygon([(x0, y1), (x1, y1), ((x0 + x1) // 2, y0)], STYLES[style])
            case _:
                pen.ellipse((x0, y0, x1, y1), TONES[one["tone"]], STYLES[style], 5)
    return image


LEFT, RIGHT, UPPER, LOWER = (0.05, 0.3, 0.43, 0.7), (0.57, 0.3, 0.95, 0.7), (0.3, 0.05, 0.7, 0.43), (0.3, 0.57, 0.7, 0.95)
SMALL, LARGE = (0.35, 0.35, 0.65, 0.65), (0.06, 0.06, 0.94, 0.94)


def all_scenes(style: str) -> list[JsonDict]:
    """The scenes of one style: plain, on backgrounds, small and large, toned, beside, above, and counted."""
    shapes = CONCEPTS[:-1]
    found = [scene("plain", thing(one)) for one in shapes]
    found += [scene("single", thing(one, SMALL), background=ground, size="small") for one in shapes for ground in BACKGROUNDS]
    found += [scene("single", thing(one, LARGE), background=ground, size="large") for one in shapes for ground in BACKGROUNDS]
    found += [scene("single", thing("face", tone=tone), background=ground) for tone in TONES for ground in BACKGROUNDS]
    found += [scene("pair", thing(a, LEFT), thing(b, RIGHT), relation="beside") for a, b in itertools.pairwise(shapes)]
    found += [scene("pair", thing(a, UPPER), thing(b, LOWER), relation="above") for a, b in itertools.pairwise(shapes)]
    return [*found, scene("count", thing("disc", UPPER), thing("disc", LOWER), background="yellow")]


def rows() -> list[JsonDict]:
    """Every scene in every style, with the split that it goes to."""
    found: list[JsonDict] = []
    for style in STYLES:
        for number, shown in enumerate(all_scenes(style)):
            concept, key = shown["things"][0]["concept"], f"{style}{number:03d}"
            held_out = "style" if (concept, style) == ("wedge", "blue") else None
            split = "held_out" if held_out else "validation" if number % 7 == 3 else "train"
            row = {"key": key, "caption": f"{style} {concept} {number}", "concept": concept, "style": style, "weight": 1.0}
            found.append(row | {"scene": json.dumps(shown), "held_out": held_out, "split": split})
    return found


def entry(row: JsonDict, text: str, *, seen: bool = True) -> JsonDict:
    """A prompt for a row, as prompts.json has it."""
    return {"prompt": text, "concept": row["concept"], "style": row["style"], "scene": json.loads(row["scene"]), "seen": seen}


def prompts(found: list[JsonDict]) -> JsonDict:
    """prompts.json with two or more prompts in each set."""
    by_kind: dict[str, list[JsonDict]] = {}
    for row in found:
        by_kind.setdefault("held_out" if row["held_out"] else json.loads(row["scene"])["kind"], []).append(row)
    own = [entry(row, f"a drawing of a {row['concept']}") | {"scene": None} for row in by_kind["plain"][:3]]
    held_out = [entry(row, "a blue wedge", seen=False) for row in by_kind["held_out"][:2]] + [entry(by_kind["plain"][0], "a red disc")]
    scenes = [entry(row, "two things") for row in by_kind["pair"][:2] + by_kind["count"][:1]]
    return {
        "format": 1,
        "sets": {
            "own_words": own,
            "attributes": [entry(row, "on a background") for row in by_kind["single"][:2]],
            "held_out": held_out,
            "scenes": scenes,
        },
    }


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the published version `v-scenes`: train, held_out and validation shards, and prompts.json."""
    store, found, names = open_store(tmp_path_factory.mktemp("composed")), rows(), list[str]()
    for split in ("train", "held_out", "validation"):
        part = [row for row in found if row["split"] == split]
        samples = [
            {"__key__": row["key"], "png": encode_png(draw_scene(json.loads(row["scene"]), row["style"])), "txt": row["caption"].encode()}
            for row in part
        ]
        table = pa.Table.from_pylist([{name: value for name, value in row.items() if name != "split"} for row in part])
        write_shard(store, f"datasets/v-scenes/{split}-00000", samples, table)
        names.append(f"datasets/v-scenes/{split}-00000.tar")
    store.write_json("datasets/v-scenes/prompts.json", prompts(found))
    write_manifest(store, "datasets/v-scenes/manifest.json", make_manifest(store, "dataset", names, settings={"version": "v-scenes"}))
    return store


@pytest.fixture
def scenes() -> Any:
    """How scenes are described and drawn in the tests of the checkers: this module's `scene`, `thing` and `draw_scene`."""
    return SceneTools


class SceneTools:
    """The drawing functions, for tests, which cannot import a conftest."""

    scene = staticmethod(scene)
    thing = staticmethod(thing)
    draw = staticmethod(draw_scene)
    left, right, upper, lower, small, large = LEFT, RIGHT, UPPER, LOWER, SMALL, LARGE
