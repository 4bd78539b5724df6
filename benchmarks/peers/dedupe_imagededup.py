"""The peer of `benchmarks/dedupe.py`: imagededup's PHash at its default settings over a folder; runs in imagededup's own environment."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from imagededup.methods import PHash  # pyright: ignore[reportMissingImports]  in an environment of its own


def main() -> None:
    folder = Path(sys.argv[1])
    began = time.perf_counter()
    found = PHash(verbose=False).find_duplicates(image_dir=str(folder / "pictures"))
    seconds = time.perf_counter() - began
    pairs = sorted({tuple(sorted((name, other))) for name, others in found.items() for other in others})
    (folder / "imagededup.json").write_text(json.dumps(pairs))
    print(json.dumps({"seconds": seconds, "version": version("imagededup")}))


if __name__ == "__main__":
    main()
