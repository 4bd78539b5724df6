"""How many labels does a probe need to find 99 % of a category, asked for by us and drawn at random?

Emoji in five designs and three takes each stand for what a crawl finds: of some 3,200 pictures 4 % show a weapon, as many alcohol, as
many bones and graves (`--pictures 15000` makes them rarer). A picture is 256 principal components, found without labels, of frozen
MobileNetV2 features, which know nothing of emoji; the corpus tells `unclip_labels` nothing but answers. Pictures are split at random:
half to ask about, a fifth held out, the rest to judge by. So takes and designs of one concept lie on all sides, as copies and variants
do on the web; how well a probe finds concepts that it never met is not tested.

Both arms begin with the same labels (10 that say yes, as seeds, and 50 that say no) and fit the same probe (`fitting.fit`). Ours asks
in rounds by `sampling.choose`, as `unclip label next` does; the other draws at random. *Labels needed* is the number of labels learned
from, the first ones included, at which the probe first finds at least 99 % of the category in the evaluation set while it drops at most
5 % of all else there. The evaluation set is fully labelled and places the bar for both, so nothing but the choice of pictures differs.
Who has not arrived after `--most` labels counts as having needed so many, which flatters whoever is slower. A split in which all labels
of the pool together do not reach the target says nothing of the choice of labels; it is told, and the next seed taken. Labels for the
threshold itself are extra and the same for both: it is chosen on the held-out fifth by `thresholds.choose_threshold`; its interval, its
true recall and the calibration are printed. The last line is the ratio of the medians over all splits; the lines before it say it by
category.

    python benchmarks/active_learning.py [--seeds 5] [--most 1600] [--pictures 3000] [--folder FOLDER] [--plot FILE.png]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unclip_curation.scorers.probes import RBF, Probe
from unclip_curation.similarity.neighbours import normalised
from unclip_labels.charts import curves_chart, reliability_chart
from unclip_labels.fitting import calibrate, cross_calibrated, fit
from unclip_labels.sampling import choose
from unclip_labels.thresholds import choose_threshold, reliability

sys.path.insert(0, str(Path(__file__).parent / "corpus"))
from categories import CATEGORIES, Corpus, build  # pyright: ignore[reportMissingImports]  # found beside this script

ROUND, SEEDS_YES, SEEDS_NO = 42, 10, 50  # a round of 60 keeps 42 to learn from
TARGET, DROPPED = 0.99, 0.05
TRIES = 4
GROWTH = 1.1  # random labels cost nothing to draw, so that arm is judged at steps that grow
Rows = NDArray[np.int64]
Pick = Callable[[Probe, Rows, Rows], Rows]


@dataclass(frozen=True)
class Task:
    """One category and one split: vectors, answers, and the rows to ask about, held out, and to judge by."""

    category: str
    vectors: NDArray[np.float32]
    truth: NDArray[np.bool_]
    pool: Rows
    held_out: Rows
    judged: Rows
    seed: int

    @property
    def first(self) -> Rows:
        """The labels that both arms begin with."""
        mixed = np.random.default_rng(self.seed).permutation(self.pool)
        return np.concatenate([mixed[self.truth[mixed]][:SEEDS_YES], mixed[~self.truth[mixed]][:SEEDS_NO]])

    def probe(self, rows: Rows) -> Probe:
        """What these labels teach."""
        return fit(self.category, RBF, "mobilenet", self.vectors[rows], self.truth[rows], self.seed)

    def recall(self, probe: Probe) -> float:
        """The share of the category found in the evaluation set where at most 5 % of all else is dropped."""
        raw, truth = probe.raw(self.vectors[self.judged]), self.truth[self.judged]
        return float((raw[truth] > np.quantile(raw[~truth], 1 - DROPPED, method="higher")).mean())


def tasks(corpus: Corpus, seeds: int) -> Iterator[Task]:
    """So many splits of every category in which the target can be met."""
    for category in CATEGORIES:
        found = 0
        for task in splits(corpus, category, TRIES * seeds):
            best = task.recall(task.probe(task.pool))
            if best < TARGET:
                print(
                    f"{category}, seed {task.seed}: recall {best:.3f} with all {len(task.pool)} labels of the pool; passed over", flush=True
                )
                continue
            yield task
            found += 1
            if found == seeds:
                break


def splits(corpus: Corpus, category: str, seeds: int) -> Iterator[Task]:
    """The category, split anew for each seed."""
    centred = corpus.vectors - corpus.vectors.mean(axis=0)
    some = centred[np.random.default_rng(0).permutation(len(centred))[:4000]]
    vectors = normalised(centred @ np.linalg.svd(some, full_matrices=False)[2][:256].T)
    for seed in range(seeds):
        mixed = np.random.default_rng(seed).permutation(len(vectors))
        cuts = [len(mixed) // 2, len(mixed) * 7 // 10]
        pool, held_out, judged = np.split(mixed, cuts)
        yield Task(category, vectors, corpus.truth(category), pool, held_out, judged, seed)


def learned(task: Task, pick: Pick, most: int) -> tuple[list[tuple[float, float]], Rows]:
    """Recall by number of labels until the target or `most` is met, and the labels."""
    rows, curve = task.first, list[tuple[float, float]]()
    while True:
        probe = task.probe(rows)
        curve.append((len(rows), task.recall(probe)))
        if curve[-1][1] >= TARGET or len(rows) >= most:
            return curve, rows
        rows = np.concatenate([rows, pick(probe, rows, np.setdiff1d(task.pool, rows))])[:most]


def ours(task: Task) -> Pick:
    """The rounds of `unclip label next`."""

    def pick(probe: Probe, rows: Rows, free: Rows) -> Rows:
        return free[choose(probe.raw(task.vectors[free]), task.vectors[free], task.vectors[rows], ROUND, len(rows))]

    return pick


def by_chance(task: Task) -> Pick:
    """Labels drawn at random."""
    chance = np.random.default_rng(task.seed + 1000)
    return lambda probe, rows, free: chance.permutation(free)[: max(ROUND, int(len(rows) * (GROWTH - 1)))]


def needed(curve: list[tuple[float, float]], most: int) -> int:
    """Labels needed, `most` when the target was not met."""
    return int(curve[-1][0]) if curve[-1][1] >= TARGET else most


def medians(pairs: list[tuple[int, int]]) -> tuple[float, float]:
    """The median number of labels of either arm."""
    return float(np.median([mine for mine, _ in pairs])), float(np.median([random for _, random in pairs]))


def tell_threshold(task: Task, rows: Rows) -> None:
    """The threshold that held-out labels choose for the probe of these labels, and whether its scores are probabilities."""
    probe, held = task.probe(rows), task.truth[task.held_out]
    raw = probe.raw(task.vectors[task.held_out])
    fair, probe = cross_calibrated(probe, raw, held), calibrate(probe, raw, held)
    chosen, measured = choose_threshold(probe.calibrated(raw), held, TARGET), reliability(fair, held)
    hit = probe.scores(task.vectors[task.judged]) >= chosen.value
    truth = task.truth[task.judged]
    print(
        f"{task.category}, seed {task.seed}: threshold {chosen.value:.3g} on {chosen.yes} yes and {chosen.no} no held out, recall there"
        f" {chosen.recall:.3f} (95 %: {chosen.recall_low:.3f} to {chosen.recall_high:.3f}); evaluation set: recall {hit[truth].mean():.3f},"
        f" {hit[~truth].mean():.1%} of all else dropped; calibration error {measured.expected_error:.4f}, Brier {measured.brier:.4f}"
    )
    print(f"figure active_learning_calibration_error_{task.category} {measured.expected_error:.4f}")


def plots(curves: dict[str, list[tuple[float, float]]], task: Task, rows: Rows, file: Path) -> None:
    """Recall by labels in `file`, and the reliability of our probe beside it."""
    told = f"{task.category}: recall where at most 5 % of all else is dropped"
    curves_chart(curves, told, "labels", "recall").save(file)
    probe, held = task.probe(rows), task.truth[task.held_out]
    measured = reliability(cross_calibrated(probe, probe.raw(task.vectors[task.held_out]), held), held)
    reliability_chart(measured, f"{task.category}, seed {task.seed}").save(file.with_name(f"{file.stem}-calibration.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=1600, help="labels after which an arm gives up")
    parser.add_argument("--pictures", type=int, default=3000, help="about so many pictures (more, for every category is kept whole)")
    parser.add_argument("--folder", type=Path, help="where the corpus is kept for the next run; a temporary folder when left out")
    parser.add_argument("--plot", type=Path, default=Path(tempfile.gettempdir()) / "active_learning.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        corpus = build(options.folder or Path(temporary), options.pictures)
    print(f"{len(corpus.labels)} pictures; yes: {', '.join(f'{name} {corpus.truth(name).sum()}' for name in CATEGORIES)}")
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in CATEGORIES}
    for task in tasks(corpus, options.seeds):
        (curve, rows), (chance, _) = learned(task, ours(task), options.most), learned(task, by_chance(task), options.most)
        found[task.category].append((needed(curve, options.most), needed(chance, options.most)))
        ends = f"recall {curve[-1][1]:.3f} and {chance[-1][1]:.3f}"
        print(
            f"{task.category}, seed {task.seed}: {found[task.category][-1][0]} labels, at random {found[task.category][-1][1]}; {ends}",
            flush=True,
        )
        if len(found[task.category]) == 1:
            tell_threshold(task, rows)
            plots(
                {"unclip label next": curve, "at random": chance},
                task,
                rows,
                options.plot.with_stem(f"{options.plot.stem}-{task.category}"),
            )
    assert all(found.values()), "in no split can the target be met"
    print(f"plots: {options.plot.parent}/{options.plot.stem}-*.png")
    for name, pairs in found.items():
        mine, random = medians(pairs)
        print(f"figure active_learning_labels_{name} {mine:.0f} labels, at random {random:.0f}")
        print(f"ratio active_learning_labels_{name} {mine / random:.2f}")
    mine, random = medians([pair for pairs in found.values() for pair in pairs])
    print(f"ratio active_learning_labels {mine / random:.2f}")


if __name__ == "__main__":
    main()
