"""These tests choose prompts out of small sets."""

import pytest

from unclip_evaluation.distances import reference_set
from unclip_evaluation.prompts.choice import labels_of, one_per_combination, one_per_concept, split_and_cut
from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.prompts.scene import Scene, Thing
from unclip_pairs.store import Store
from unclip_training.data.pair_source import pairs_source

PAIR = Scene("pair", "white", (255, 255, 255), (Thing("a"), Thing("b")), "beside")


def test_prompts_are_of_distinct_concepts_and_do_not_depend_on_the_order_of_pairs(shapes: Store) -> None:
    source = pairs_source(shapes, "v-shapes")
    labels, pairs = labels_of(shapes, source), reference_set(shapes, "v-shapes").pairs
    prompts = one_per_concept(pairs.keys, pairs.captions, labels, 6, seed=1)
    assert len({prompt.label.concept for prompt in prompts}) == len(prompts) == 6
    assert prompts == one_per_concept(pairs.keys[::-1], pairs.captions[::-1], labels, 6, seed=1)
    assert prompts != one_per_concept(pairs.keys, pairs.captions, labels, 6, seed=2)
    assert len(one_per_concept(pairs.keys, pairs.captions, labels, 12, seed=1)) == 12
    assert len(one_per_combination(pairs.keys, pairs.captions, labels, 100)) == 31


def test_training_captions_are_of_pictures_that_show_one_thing() -> None:
    labels = {"1": Label("a", "flat", PAIR), "2": Label("a", "flat")}
    assert [prompt.key for prompt in one_per_concept(["1", "2"], ["two", "one"], labels, 5, seed=0)] == ["2"]


def test_scenes_are_read_from_the_sidecars(composed: Store) -> None:
    labels = labels_of(composed, pairs_source(composed, "v-scenes"))
    kinds = {label.scene.kind for label in labels.values() if label.scene}
    assert kinds == {"plain", "single", "pair", "count"}


@pytest.mark.parametrize(("count", "expected"), [(2, ["0", "5"]), (100, [str(i) for i in range(10)])])
def test_a_set_is_thinned_out_evenly(count: int, expected: list[str]) -> None:
    prompts = [Prompt(str(i), Label("a", "flat")) for i in range(10)]
    assert [prompt.text for prompt in split_and_cut({"scenes": prompts}, 1, count)["scenes_seen"]] == expected


def test_seen_prompts_of_a_composed_set_are_a_set_of_their_own() -> None:
    mixed = [Prompt(str(i), Label("a", "flat"), seen=i % 2 == 0) for i in range(6)]
    found = split_and_cut({"held_out": mixed, "scenes": []}, 9, 2)
    assert [prompt.text for prompt in found["held_out"]] == ["1", "3"]
    assert [prompt.text for prompt in found["held_out_seen"]] == ["0", "2"]
    assert set(found) == {"held_out", "held_out_seen"}
