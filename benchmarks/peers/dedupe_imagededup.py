"""The peer of `benchmarks/dedupe.py`: imagededup's PHash at its default settings over a folder; runs in imagededup's own environment."""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

from imagededup.methods import PHash  # pyright: ignore[reportMissingImports]  in an environment of its own


def main() -> None:
    folder = Path(sys.argv[1])
    began, used = time.perf_counter(), sum(os.times()[:4])
    found = PHash(verbose=False).find_duplicates(image_dir=str(folder / "pictures"))
    seconds, processor = time.perf_counter() - began, sum(os.times()[:4]) - used
    pairs = sorted({tuple(sorted((name, other))) for name, others in found.items() for other in others})
    (folder / "imagededup.json").write_text(json.dumps(pairs))
    print(json.dumps({"seconds": seconds, "processor": processor, "version": version("imagededup")}))


if __name__ == "__main__":
    main()
