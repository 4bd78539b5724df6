"""Command behind `benchmarks/gpu.py`, with the repository's packages on its path."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from cuda_checks import Checks, check_batch_and_alone
from findings import Findings
from miniatures import SmallRun, miniature, small_runs
from pair_file import Pairs, drawn, prepare, read_pairs
from paper_throughput import measure_all
from sheets import OWN_PROMPTS, save_curves, save_sheet, shown_prompts
from small_training import CLIP, NAME, SECONDS, SmallTraining
from weight_parts import join, list_bundle, split

from unclip_generation.pipeline import UnCLIP
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_training.precision import resolved, training_device

PARTS = ("checks", "throughput", "training")
THROUGHPUT_SECONDS = 90.0
RESERVE_SECONDS = 30.0  # for the last export and the contact sheet
PROBE_STEPS = 60
SIDE = 256


def parser() -> argparse.ArgumentParser:
    """The three commands; without one, a dry run in a temporary folder."""
    options = argparse.ArgumentParser(prog="gpu.py", description="What only a GPU can show.")
    commands = options.add_subparsers(dest="command")
    making = commands.add_parser("prepare", help="make the data file from a published version")
    making.add_argument("--home", required=True, type=Path, help="the home that holds the version")
    making.add_argument("--dataset", help="the version; the only one of the home when left out")
    making.add_argument("--out", required=True, type=Path, help="the .npz to write")
    making.add_argument("--megabytes", type=float, default=40.0, help="how large the pictures may be together")
    running = commands.add_parser("run", help="check, measure and train")
    running.add_argument("--data", type=Path, help="what prepare wrote; drawn shapes when left out")
    running.add_argument("--out", required=True, type=Path, help="where the results go")
    running.add_argument("--work", type=Path, help="where the store lies; a temporary folder when left out")
    running.add_argument("--minutes", type=float, default=9.0, help="for all of it")
    running.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is done")
    running.add_argument("--dry-run", action="store_true", help="tiny networks and a few steps")
    joining = commands.add_parser("join", help="make a bundle of the weights that a run left")
    joining.add_argument("--out", required=True, type=Path, help="the run's results")
    joining.add_argument("--into", required=True, type=Path, help="the bundle's folder")
    return options


def version_of(home: Path, named: str | None) -> str:
    """The version that was named, or the only one; `UserError` where that is not clear."""
    found = sorted(path.parent.name for path in home.glob("datasets/*/manifest.json"))
    if named is None and len(found) != 1:
        raise UserError(f"{home} holds the versions {', '.join(found) or '(none)'}; name one with --dataset")
    return named or found[0]


def run(options: argparse.Namespace, work: Path) -> int:
    """All parts that were asked for; 0 when none failed, else 1."""
    out: Path = options.out
    findings = Findings(out, options.minutes)
    is_cuda = torch.cuda.is_available()
    if options.dry_run and not is_cuda:
        torch.set_num_threads(1)  # networks so small only wait for each other
    card = torch.cuda.get_device_name() if is_cuda else f"no GPU, {torch.get_num_threads()} threads"
    findings.put("machine", card=card, torch=torch.__version__, precision=resolved("auto"), dry_run=options.dry_run)
    pairs = drawn() if options.data is None else read_pairs(options.data)
    findings.put("data", pairs=len(pairs.rows), prompts=sum(map(len, pairs.prompts.values())))
    if "checks" in options.parts:
        Checks(open_store(work / "checks"), findings).run(pairs)
    if "throughput" in options.parts:
        measure_all(findings, THROUGHPUT_SECONDS, options.dry_run)
    if "training" in options.parts:
        train(options, findings, pairs, work)
    print(f"figure gpu_failed {len(findings.failures())} parts {' '.join(findings.failures())}", flush=True)
    return 1 if findings.failures() else 0


def train(options: argparse.Namespace, findings: Findings, pairs: Pairs, work: Path) -> None:
    """The five trainings; after each, curves and weights so far; at the end, the sheet."""
    runs = [miniature(one) for one in small_runs()] if options.dry_run else small_runs()
    reserve, probe_steps = (0.0, 4) if options.dry_run else (RESERVE_SECONDS, PROBE_STEPS)
    training = SmallTraining(open_store(work / "training"), findings, reserve, probe_steps)
    training.run(pairs, runs, lambda done: _export(options.out, findings, training, runs, done))
    with findings.part("sheet"):
        if not training.bundle(work / "bundle"):
            raise UserError("a stage is missing, so nothing can be painted")
        list_bundle(work / "bundle")
        painter = UnCLIP.load(work / "bundle", training_device())
        prompts = shown_prompts(pairs.prompts)
        save_sheet(painter, prompts[:2] if options.dry_run else prompts, SIDE, options.out / "contact_sheet.png")
        with findings.part("check_batch_and_alone"):
            check_batch_and_alone(findings, painter, OWN_PROMPTS, SIDE)


def _export(out: Path, findings: Findings, training: SmallTraining, runs: list[SmallRun], done: SmallRun) -> None:
    """Curves and weights of the stages that are trained, in place of the earlier ones."""
    curves = training.curves(runs)
    if not curves:
        return
    (out / "curves.json").write_text(json.dumps(curves) + "\n")
    save_curves(curves, out / "curves.png")
    store = training.store
    names = {stage: store.path(f"models/{stage}/{NAME}/weights.safetensors") for stage in SECONDS if stage in curves}
    sizes = split(out, names, store.path(f"{CLIP}/tokenizer.json"))
    findings.put(f"export_{done.stage}", stages=list(names), files=len(sizes), megabytes=sum(sizes) / 1e6)


def main(arguments: Sequence[str]) -> int:
    """0 when all went well, 1 when a part failed, 2 with a sentence when the user can put it right."""
    options = parser().parse_args(arguments)
    try:
        match options.command:
            case "prepare":
                version = version_of(options.home, options.dataset)
                prepare(open_store(options.home), version, int(options.megabytes * 1e6)).save(options.out)
                print(f"figure prepare_megabytes {options.out.stat().st_size / 1e6:.1f}")
            case "join":
                print(f"figure joined {' '.join(join(options.out, options.into))}")
            case "run":
                return _run(options)
            case _:
                with tempfile.TemporaryDirectory() as folder:
                    return _run(parser().parse_args(["run", "--dry-run", "--out", f"{folder}/out"]))
    except UserError as error:
        sys.stderr.write(f"gpu.py: {error}\n")
        return 2
    return 0


def _run(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    if options.work is not None:
        return run(options, options.work)
    work = Path(tempfile.mkdtemp(prefix="unclip-gpu-"))
    try:
        return run(options, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
