"""Imported stand-ins, with diffusers' own pipelines beside them to compare with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unclip_generation.generator import Generator
from unclip_generation.loading import open_generator
from unclip_pairs.home import open_store
from unclip_release.bundle import bundle_folder
from unclip_release.imported import ImportRequest, import_model

Saved = dict[str, tuple[Path, Any]]


@dataclass(frozen=True)
class Imported:
    """The source folders and diffusers' pipelines by name, the bundle's folder and its generator."""

    sources: Saved
    bundle: Path
    generator: Generator


def _imported(home: Path, sources: Saved, request: ImportRequest) -> Imported:
    store = open_store(home)
    bundle = store.path(bundle_folder(import_model(store, request)))
    return Imported(sources, bundle, open_generator(bundle, "cpu"))


@pytest.fixture(scope="package")
def karlo(open_weights: Saved, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Karlo with what reads pictures, of 2, 3 and 7 steps."""
    text, varied = open_weights["karlo"][0], open_weights["varied"][0]
    request = ImportRequest(folder=text, variations=varied, prior_steps=2, decoder_steps=3)
    return _imported(tmp_path_factory.mktemp("karlo"), open_weights, request)


@pytest.fixture(scope="package")
def kandinsky(open_weights: Saved, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Kandinsky 2.2 of 2 and 3 steps, with its prior in a folder of its own."""
    decoder, prior = open_weights["decoder"][0], open_weights["prior"][0]
    request = ImportRequest(folder=decoder, prior=prior, prior_steps=2, decoder_steps=3)
    return _imported(tmp_path_factory.mktemp("kandinsky"), open_weights, request)
