"""Training of the `small` recipes in the time that is left, each network's steps in proportion to what a probe measured."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from findings import Findings
from miniatures import SmallRun
from pair_file import SPLITS, Pairs, Vectors, publish
from paper_throughput import BACKWARD_AND_FORWARD, Subject, flops, peak_flops

from unclip_pairs.errors import UserError
from unclip_pairs.shards import shard_names
from unclip_pairs.store import Store
from unclip_training.config import ClipRun, UpsamplerRun
from unclip_training.data.decoded_cache import decoded_pairs
from unclip_training.data.pair_source import PairSource, pairs_source
from unclip_training.embedder import ClipEmbedder
from unclip_training.fit import Launch, fit
from unclip_training.precision import training_device

NAME = "small"
CLIP = f"models/clip/{NAME}"
SECONDS = {"clip": 40.0, "prior": 60.0, "decoder": 260.0, "upsampler_256": 110.0, "upsampler_1024": 70.0}
"""What each stage takes of nine minutes by the recipes' own arithmetic; its share of what is left is the same."""
EMBEDDED_AT_ONCE = 1024
OLDER = 3  # a probe's points before the last are still warming up


@dataclass(frozen=True)
class SmallTraining:
    """The five trainings in a store; `reserve` seconds are kept for what comes after, a probe takes `probe_steps`."""

    store: Store
    findings: Findings
    reserve: float
    probe_steps: int

    def run(self, pairs: Pairs, runs: list[SmallRun], ready: Callable[[SmallRun], None]) -> None:
        """Trains one after another, each as a part; `ready` is called after each, also after one that failed."""
        with self.findings.part("data"):
            publish(pairs, self.store, "plain")
        for number, run in enumerate(runs):
            share = SECONDS[run.stage] / sum(SECONDS[other.stage] for other in runs[number:])
            with self.findings.part(f"small_{run.stage}"):
                self._train(run, share * (self.findings.left() - self.reserve))
                if isinstance(run, ClipRun):
                    publish(pairs, self.store, "embedded", embedded(self.store, "plain", CLIP))
            with self.findings.part(f"export_{run.stage}"):
                ready(run)

    def _train(self, run: SmallRun, seconds: float) -> None:
        """A probe of a few steps, then as many steps as fit into the rest of `seconds`, at most the recipe's own."""
        began = time.monotonic()
        run, probe = self._probed(run)
        rate = self._rate(run, probe)
        spent = time.monotonic() - began
        start_up = spent - self.probe_steps * run.batch_size / rate
        affordable = int((seconds - spent - start_up) * rate / run.batch_size)
        steps = max(self.probe_steps, min(run.steps, affordable))
        self.findings.put(f"small_{run.stage}", allotted_s=seconds, probed_samples_a_second=rate, start_up_s=start_up, steps=steps)
        self._fit(run, NAME, steps)
        self._report(run)

    def _probed(self, run: SmallRun) -> tuple[SmallRun, str]:
        """Trains a few steps; gives the run and the name of that training. A U-Net that cannot be compiled is trained as it is written."""
        try:
            self._fit(run, "probe", self.probe_steps)
        except UserError:
            raise
        except Exception as error:  # whatever the compiler raises
            if not run.compiled:
                raise
            self.findings.put(f"small_{run.stage}", compile_failed=f"{type(error).__name__}: {str(error)[:300]}")
            run = replace(run, compiled=False)
            self._fit(run, "probe-uncompiled", self.probe_steps)
            return run, "probe-uncompiled"
        return run, "probe"

    def _fit(self, run: SmallRun, name: str, steps: int) -> None:
        dataset, clip = ("plain", None) if isinstance(run, ClipRun) else ("embedded", CLIP)
        fit(self.store, run, Launch(dataset=dataset, name=name, clip=clip, steps=steps, track=False))

    def _rate(self, run: SmallRun, name: str) -> float:
        """Samples a second, the mean of the last points."""
        points = [value for label, value, _, _ in self._points(run.stage, name) if label == "samples_per_s"]
        return sum(points[-OLDER:]) / len(points[-OLDER:])

    def _points(self, stage: str, name: str) -> list[tuple[str, float, int, int]]:
        return self.store.read_json(f"models/{stage}/{name}/metrics.json")["points"]

    def _report(self, run: SmallRun) -> None:
        metrics = self.store.read_json(f"models/{run.stage}/{NAME}/metrics.json")
        rate, peak = self._rate(run, NAME), peak_flops()
        cost = BACKWARD_AND_FORWARD * flops(Subject(run.stage, run.model, run.crop if isinstance(run, UpsamplerRun) else 0, 0))
        final = {name: value for name, value in metrics["final"].items() if name in ("loss", "validation_loss")}
        best = {name: value for name, value in metrics.items() if name.startswith("best_")}
        utilisation = None if peak is None else cost * rate / peak
        self.findings.put(f"small_{run.stage}", samples_a_second=rate, model_flop_utilisation=utilisation, **final, **best)

    def curves(self, runs: list[SmallRun]) -> dict[str, list[tuple[str, float, int]]]:
        """The points (name, value, step) of each stage that was trained."""
        found = [run.stage for run in runs if self.store.exists(f"models/{run.stage}/{NAME}/metrics.json")]
        return {stage: [(label, value, step) for label, value, _, step in self._points(stage, NAME)] for stage in found}

    def bundle(self, folder: Path) -> bool:
        """Gathers the trained stages as a bundle in `folder`; False while one is missing."""
        names = {stage: f"models/{stage}/{NAME}/weights.safetensors" for stage in SECONDS}
        if not all(self.store.exists(name) for name in names.values()):
            return False
        folder.mkdir(parents=True, exist_ok=True)
        for stage, name in names.items():
            shutil.copyfile(self.store.path(name), folder / f"{stage}.safetensors")
        shutil.copyfile(self.store.path(f"{CLIP}/tokenizer.json"), folder / "tokenizer.json")
        return True


def embedded(store: Store, version: str, clip: str) -> Vectors:
    """The embeddings of all pairs of a version, of every split, by the CLIP of that run folder."""
    embedder = ClipEmbedder(store.folder(clip), training_device())
    vectors: Vectors = {}
    for source in _sources(store, version):
        pairs = decoded_pairs(store, source, embedder.side)
        pictures, captions = pairs.at(embedder.side), embedder.captions(pairs.captions)
        for start in range(0, len(pairs), EMBEDDED_AT_ONCE):
            images = embedder.pictures(pictures[start : start + EMBEDDED_AT_ONCE])
            keys = pairs.keys[start : start + EMBEDDED_AT_ONCE]
            vectors |= {key: (images[i], captions[start + i]) for i, key in enumerate(keys)}
    return vectors


def _sources(store: Store, version: str) -> Iterator[PairSource]:
    return (pairs_source(store, version, split) for split in SPLITS if shard_names(store, f"datasets/{version}/{split}-"))
