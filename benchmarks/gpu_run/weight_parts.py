"""Weights of a bundle as a few small files that travel: bf16, each below a bound, and the way back to a bundle."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from unclip_pairs.errors import UserError

LARGEST_FILE = 15_000_000
LARGE_BUFFER = 500_000  # numbers; smaller statistics keep their precision
TOKENIZER = "tokenizer.json"
STAGES = ("clip", "prior", "decoder", "upsampler_256", "upsampler_1024")
LISTING = {
    "format": 1,
    "tokenizer": TOKENIZER,
    "clip": "clip.safetensors",
    "prior": "prior.safetensors",
    "decoder": "decoder.safetensors",
    "upsamplers": ["upsampler_256.safetensors", "upsampler_1024.safetensors"],
}
STATISTICS = ("mean_D", "std_D", "matrix_DD", "inverse_DD", "mean_F", "curves_5K", "running_mean", "running_var")


def list_bundle(folder: Path) -> None:
    """Writes `bundle.json`, which makes the files beside it a bundle."""
    (folder / "bundle.json").write_text(json.dumps(LISTING, indent=1) + "\n")


def split(out: Path, names: dict[str, Path], tokenizer: Path | None) -> list[int]:
    """Writes the stages' weights files as `out`/weights-1.safetensors and so on; gives the files' sizes in bytes.

    Parts of an earlier call are replaced.
    """
    tensors, metadata = dict[str, Tensor](), dict[str, str]()
    for stage, path in names.items():
        with safe_open(str(path), "pt") as file:
            metadata[stage] = json.dumps(file.metadata())
        tensors |= {f"{stage}/{name}": reduced(name, value) for name, value in load_file(path).items()}
    if tokenizer is not None:
        tensors[TOKENIZER] = torch.frombuffer(bytearray(tokenizer.read_bytes()), dtype=torch.uint8)
    parts = list(_packed(tensors))
    for number, part in enumerate(parts, start=1):
        unfinished = out / f".part-{number}.safetensors"
        save_file(part, unfinished, metadata=metadata)
        unfinished.chmod(0o644)  # safetensors lets nobody else read
        unfinished.replace(out / f"weights-{number}.safetensors")
    return [(out / f"weights-{number}.safetensors").stat().st_size for number in range(1, len(parts) + 1)]


def reduced(name: str, value: Tensor) -> Tensor:
    """The tensor in bf16; statistics and whole numbers stay as they are."""
    is_statistic = name.rsplit(".", 1)[-1] in STATISTICS and value.numel() < LARGE_BUFFER
    return value.contiguous() if is_statistic or not value.is_floating_point() else value.to(torch.bfloat16).contiguous()


def _packed(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Parts below the bound; each tensor goes into the first part that has room, the largest tensors first."""
    parts: list[tuple[int, dict[str, Tensor]]] = []
    bound = LARGEST_FILE - 1_000_000  # the names and the metadata take some
    for name, value in sorted(tensors.items(), key=lambda one: (-one[1].nbytes, one[0])):
        assert value.nbytes <= bound, f"{name} is larger than a file may be"
        at = next((i for i, (size, _) in enumerate(parts) if size + value.nbytes <= bound), len(parts))
        if at == len(parts):
            parts.append((0, {}))
        size, held = parts[at]
        held[name] = value
        parts[at] = (size + value.nbytes, held)
    return (held for _, held in parts)


def join(out: Path, folder: Path) -> list[str]:
    """Writes the parts in `out` as a bundle in `folder`; gives its stages. `UserError` when there are no parts."""
    paths = sorted(out.glob("weights-*.safetensors"))
    if not paths:
        raise UserError(f"{out} holds no weights-1.safetensors; name the folder that a run left")
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors |= load_file(path)
    with safe_open(str(paths[0]), "pt") as file:
        metadata = {stage: json.loads(text) for stage, text in file.metadata().items()}
    folder.mkdir(parents=True, exist_ok=True)
    for stage, described in metadata.items():
        own = {name.removeprefix(f"{stage}/"): value for name, value in tensors.items() if name.startswith(f"{stage}/")}
        save_file(own, folder / f"{stage}.safetensors", metadata=described)
    (folder / TOKENIZER).write_bytes(bytes(tensors[TOKENIZER].tolist()))
    if set(metadata) == set(STAGES):
        list_bundle(folder)
    return sorted(metadata)
