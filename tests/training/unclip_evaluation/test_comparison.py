"""These tests judge pictures whose answers are known: real ones, copies, means of others, noise."""

import numpy as np
import pytest

from unclip_evaluation.baselines import means_of_others, real_places
from unclip_evaluation.comparison import checker_figures, compared_set, painted_row, probe_figures, real_row
from unclip_evaluation.diversity import diversity
from unclip_evaluation.evaluate import learned_judges
from unclip_evaluation.evaluation_data import EvaluationData, asked_sets, load_data
from unclip_evaluation.plan import EvaluationPlan
from unclip_evaluation.probes.probes import ProbePlan
from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_pairs.progress import silent
from unclip_pairs.store import Store

PLAN = EvaluationPlan(judge="none", num_prompts=6, num_composed=8, probes=ProbePlan(num_pictures=40, augmentations=1))


@pytest.fixture
def data(composed: Store) -> EvaluationData:
    return load_data(composed, "v-scenes", asked_sets(composed, "v-scenes", None)[0], PLAN, silent)


def test_every_set_of_a_composed_version_is_there(data: EvaluationData) -> None:
    assert list(data.sets) == ["training", "own_words", "attributes_seen", "held_out", "held_out_seen", "scenes_seen"]
    assert data.missing == dict.fromkeys(("attributes", "scenes"), "the prompts have none")
    assert {prompt.label.style for prompt in data.held_out} == {"blue"}


def test_a_painted_copy_is_seen_as_one_and_scores_as_looking_up_does(composed: Store, data: EvaluationData) -> None:
    judges, train = learned_judges(composed, data, PLAN, silent), data.sources.train
    keys = {key: place for place, key in enumerate(train.reference.pairs.keys)}
    prompts = data.sets["training"]
    copies = train.pictures([keys[prompt.key] for prompt in prompts if prompt.key])
    found = compared_set(prompts, painted_row(prompts, copies), data.sources, judges)
    assert found["nearest_train"]["share_above_0.97"] == 1.0
    assert found["concept_at_1"]["painted"] == found["concept_at_1"]["copying"]
    assert found["concept_at_5"]["painted"]["value"] == found["style"]["painted"]["value"] == 1.0


def test_noise_hits_next_to_nothing_and_checks_say_why(composed: Store, data: EvaluationData) -> None:
    judges, prompts = learned_judges(composed, data, PLAN, silent), data.sets["scenes_seen"]
    noise = np.random.default_rng(0).integers(0, 256, (len(prompts), 128, 128, 3)).astype(np.uint8)
    found = compared_set(prompts, painted_row(prompts, noise), data.sources, judges)
    assert set(found["checks"]) == {"background", "order", "both", "count"}
    assert all(rows["painted"]["hits"] == 0 for rows in found["checks"].values())
    assert found["undecided"]["count"] == {"the border is not of one colour": 1}
    assert found["checks"]["count"]["real"]["value"] == 1.0 or found["checks"]["count"]["real"]["of"] == 0


def test_the_checks_are_right_on_real_pictures_and_refuse_wrong_questions(composed: Store, data: EvaluationData) -> None:
    judges = learned_judges(composed, data, PLAN, silent)
    found = checker_figures(judges.checker, data.sources)
    assert {"background", "tone", "size"} <= set(found)
    for name in ("background", "size"):
        assert found[name]["right"]["value"] == 1.0 and found[name]["wrong"]["hits"] == 0
    probes = probe_figures(judges.probes, data.sources)
    assert probes["split"] == "validation" and probes["style"]["value"] > 0.5


def test_real_pictures_of_unseen_labels_are_held_out_and_of_seen_ones_validation(data: EvaluationData) -> None:
    row = real_row(data.held_out, data.sources)
    assert len(row.labels) == len(data.held_out) and {(label.concept, label.style) for label in row.labels} == {("wedge", "blue")}
    seen = real_row([Prompt("a face", Label("face", "red"))], data.sources)
    assert [(label.concept, label.style) for label in seen.labels] == [("face", "red")]
    assert real_row([Prompt("a face", Label("nothing", "red"))], data.sources).pictures.shape == (0, 128, 128, 3)


def test_no_real_picture_is_taken_twice_before_all_are_taken() -> None:
    one, other = Label("a", "flat"), Label("b", "flat")
    prompts = [Prompt("", label) for label in (one, one, one, other, Label("c", "flat"))]
    assert real_places(prompts, [one, None, other, one]) == [(0, 0), (1, 3), (2, 0), (3, 2)]


def test_the_floor_is_a_mean_of_other_styles_shifted_by_the_style(data: EvaluationData) -> None:
    prompts = [Prompt("", Label("disc", "red")), Prompt("", Label("disc", "red")), Prompt("", Label("nothing", "green"))]
    floor = means_of_others(prompts, data.sources.train)
    assert floor.shape == (3, 128, 128, 3) and (floor[0] == floor[1]).all()
    middle = floor[0, 64, 64].astype(int)
    assert middle[0] < 200 and (floor[0, 2, 2] > 240).all()


def test_the_same_picture_for_every_seed_is_not_diverse(composed: Store, data: EvaluationData) -> None:
    judges, prompts = learned_judges(composed, data, PLAN, silent), data.sets["own_words"][:2]
    pictures = data.sources.train.pictures([0, 1])
    same = np.repeat(pictures[:, None], 4, axis=1)
    found = diversity(prompts, same, judges.probes.concept)
    assert found["pixel_difference"] == 0 and found["feature_distance"] == pytest.approx(0, abs=1e-5)
    assert found["concept_at_1"]["of"] == 8 and found["concept_at_1"]["value"] == found["concept_at_1_one_seed"]["value"]
    other = np.stack([pictures, np.invert(pictures)], axis=1)
    assert diversity(prompts, other, judges.probes.concept)["pixel_difference"] > 50
