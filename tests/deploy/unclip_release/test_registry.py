"""The registry on its SQLite default: versions, gates, aliases that move, and the bundle behind the champion."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from unclip_pairs.errors import UserError
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder
from unclip_release.gates import GatePolicy
from unclip_release.model_version import read_versions
from unclip_release.registry import Registry, open_registry

Train = Callable[..., dict[str, str]]
Figures = dict[str, JsonValue]


@pytest.fixture
def registry(registered_store: Store) -> Registry:
    return open_registry(registered_store)


def test_a_registered_bundle_is_a_candidate_with_its_gates_as_tags(
    registry: Registry, bundles: list[Manifest], good_figures: Figures
) -> None:
    version = registry.register(bundles[0], good_figures)
    assert (version.name, version.version, version.aliases) == ("unclip", "1", ("candidate",))
    assert version.tags["manifest_digest"] == bundles[0].digest
    assert version.tags["policy_version"] == "p1"
    assert version.tags["gates"] == "passed"
    assert {name for name in version.tags if name.startswith("gate.")} == {
        *("gate.evaluated", "gate.finite", "gate.good_enough", "gate.safe", "gate.original", "gate.not_worse")
    }
    assert version.evaluation["concept_hit_rate"] == 0.4
    assert registry.register(bundles[0], good_figures).version == "1"


def test_promotion_and_rollback_move_the_aliases(registry: Registry, bundles: list[Manifest], good_figures: Figures) -> None:
    for bundle in bundles:
        registry.register(bundle, good_figures)
        registry.promote()
    aliases = {version.version: version.aliases for version in registry.versions()}
    assert aliases == {"3": ("champion",), "2": ("previous",), "1": ()}
    assert registry.rollback().version == "2"
    assert {version.version: version.aliases for version in registry.versions()} == {"3": (), "2": ("champion",), "1": ("previous",)}
    assert registry.rollback().version == "1"
    with pytest.raises(UserError, match="no previous champion"):
        registry.rollback()
    assert registry.champion()[0].version == "1"


def test_what_was_rolled_back_comes_back_by_its_number_only(registry: Registry, bundles: list[Manifest], good_figures: Figures) -> None:
    for bundle in bundles[:2]:
        registry.register(bundle, good_figures)
        registry.promote()
    registry.rollback()
    registry.register(bundles[1], good_figures)
    with pytest.raises(UserError, match="was rolled back"):
        registry.promote()
    assert registry.champion()[0].version == "1"
    assert registry.promote("2").aliases == ("champion",)


def test_a_candidate_that_fails_a_gate_never_becomes_champion(registry: Registry, bundles: list[Manifest], good_figures: Figures) -> None:
    registry.register(bundles[0], good_figures)
    registry.promote()
    for number, worse in (("2", good_figures | {"concept_hit_rate": 0.1}), ("3", good_figures | {"explicit_pictures": 1})):
        refused = registry.register(bundles[int(number) - 1], worse)
        assert refused.tags["gates"] == "refused"
        assert refused.objections
        for which in ("candidate", number):
            with pytest.raises(UserError, match="may not become champion"):
                registry.promote(which)
    assert registry.champion()[0].version == "1"


def test_the_gates_are_asked_again_at_promotion(registry: Registry, bundles: list[Manifest], good_figures: Figures) -> None:
    """Version 2 passed while there was no champion; by now there is one that is better."""
    registry.register(bundles[1], good_figures | {"concept_hit_rate": 0.1})
    registry.register(bundles[0], good_figures)
    registry.promote("2")
    with pytest.raises(UserError, match=r"concept_hit_rate 0\.100 is worse than the champion's 0\.400"):
        registry.promote("1")


def test_a_floor_of_the_policy_holds(registry: Registry, bundles: list[Manifest], good_figures: Figures) -> None:
    version = registry.register(bundles[0], good_figures, GatePolicy(min_concept_hit_rate=0.5))
    assert version.objections == ["good_enough: concept_hit_rate 0.400 is below the floor 0.500"]


def test_promoting_the_champion_changes_nothing(registry: Registry, bundles: list[Manifest], good_figures: Figures) -> None:
    registry.register(bundles[0], good_figures)
    assert registry.promote().version == registry.promote("champion").version == "1"
    with pytest.raises(UserError, match="no previous champion"):
        registry.rollback()


def test_the_champion_is_a_checked_folder(registry: Registry, bundles: list[Manifest], good_figures: Figures) -> None:
    registry.register(bundles[0], good_figures)
    registry.promote()
    _, folder = registry.champion()
    assert folder == registry.store.path(bundle_folder(bundles[0]))
    (folder / "decoder.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"decoder\.safetensors is missing or damaged"):
        registry.champion()


def test_the_store_may_move_with_its_bundles(registry: Registry, bundles: list[Manifest], tmp_path: Path, good_figures: Figures) -> None:
    registry.register(bundles[0], good_figures)
    registry.promote()
    registry.store.root.rename(tmp_path / "moved")
    moved = open_registry(Store(tmp_path / "moved"))
    assert moved.champion()[1].is_relative_to(tmp_path / "moved")


def test_without_a_champion_the_remedy_is_told(registry: Registry) -> None:
    with pytest.raises(UserError, match="has no champion; run `unclip demo`"):
        registry.champion()
    with pytest.raises(UserError, match="no version or alias 'candidate'"):
        registry.promote()


def test_a_server_that_is_not_there_is_a_sentence(store: Store) -> None:
    with pytest.raises(UserError, match=r"no MLflow server answers at http://127\.0\.0\.1:9"):
        open_registry(store, "http://127.0.0.1:9").champion()


def test_versions_are_read_from_the_database_as_mlflow_gives_them(
    registry: Registry, bundles: list[Manifest], good_figures: Figures
) -> None:
    for bundle in bundles:
        registry.register(bundle, good_figures)
        registry.promote()
    with registry.client() as client:
        theirs = {str(found.version): found for found in (client.get_model_version("unclip", number) for number in ("1", "2", "3"))}
        mine = read_versions(registry.tracking_uri)
        assert mine is not None and [version.version for version in mine] == ["3", "2", "1"]
        for version in mine:
            found = theirs[version.version]
            assert (version.source, version.tags, list(version.aliases)) == (found.source, dict(found.tags), sorted(found.aliases))
        client.delete_model_version("unclip", "1")
        assert [version.version for version in read_versions(registry.tracking_uri) or []] == ["3", "2"]


def test_a_database_that_is_not_known_is_left_to_mlflow(tmp_path: Path) -> None:
    assert read_versions("http://127.0.0.1:1") is None
    assert read_versions(f"sqlite:///{tmp_path}/none.db") is None
    sqlite3.connect(tmp_path / "other.db").close()
    (tmp_path / "text.db").write_text("no database")
    assert read_versions(f"sqlite:///{tmp_path}/other.db") is None
    assert read_versions(f"sqlite:///{tmp_path}/text.db") is None
