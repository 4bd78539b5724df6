"""Does our embedding stage embed at least twice as many pairs a second as `clip-retrieval inference`?

Both sides embed the pictures and captions of the same shards by the same network (open_clip's ViT-B-32, clip-retrieval's own default)
from the same weights file, each in a process of its own, on all cores. No weights come from anywhere: the network is initialised at
random with a fixed seed, which costs as much as a trained one. The peer runs at the batch size and number of readers that suit two
cores best (its defaults are slower); its start-up (imports, loading, two warm-up batches) is left out of its time as ours is out of
ours. Ours multiplies in the format that `auto` chooses here (bf16 where the processor is fast at it; `--precision` names another), the
peer in float32, the only one it knows on a CPU. The vectors are compared before a ratio is printed: the cosine of every pair of rows,
and that each of our rows is nearest to its own among the peer's.

`python benchmarks/embed.py` (about four minutes) needs the extra `retrieval`; `--rows 128` is a quick look; `--home` names a home whose
first crawl batch is embedded instead of drawn pictures.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.embeddings.embedding import embed_pairs
from unclip_pairs.store import Store
from unclip_training.open_clip_embedder import OpenClipEmbedder
from unclip_training.precision import Precision, resolved

MODEL = "ViT-B-32"
SHARDS = 4  # at least as many as the peer's readers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=512, help="pairs to embed")
    parser.add_argument("--home", type=Path, help="a home with a finished crawl; drawn pictures otherwise")
    parser.add_argument("--batch-size", type=int, default=32, help="of the peer")
    parser.add_argument("--readers", type=int, default=2, help="of the peer: its num_prepro_workers")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto", help="of ours")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.ours, options.precision)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Runs both sides and prints what they took."""
    options.rows = write_corpus(folder, options.rows, options.home)
    write_weights(folder / "weights.safetensors")
    answer = subprocess.run(
        [sys.executable, __file__, "--ours", str(folder), "--precision", options.precision], capture_output=True, text=True, check=True
    )
    mine = json.loads(answer.stdout.splitlines()[-1])
    began = time.perf_counter()
    theirs = peer(folder, options.batch_size, options.readers)
    whole = time.perf_counter() - began
    print(f"ours in {resolved(options.precision)}, the peer in float32")
    print(f"cosine of our rows and the peer's: {agreement(folder):.6f} at least; each row is nearest to its own")
    print(f"figure embed_ours {options.rows / mine['seconds']:.2f} pairs/s")
    print(f"figure embed_clip_retrieval {options.rows / theirs:.2f} pairs/s")
    print(f"figure embed_ours_with_start {options.rows / (mine['seconds'] + mine['start']):.2f} pairs/s")
    print(f"figure embed_clip_retrieval_with_start {options.rows / whole:.2f} pairs/s")
    print(f"ratio embed_with_start {whole / (mine['seconds'] + mine['start']):.2f}")
    print(f"ratio embed {theirs / mine['seconds']:.2f}")


def write_corpus(folder: Path, rows: int, home: Path | None) -> int:
    """How many pairs were written into the folder."""
    writer = Path(__file__).parent / "corpus" / "write.py"
    command = [sys.executable, str(writer), str(folder), "--rows", str(rows), "--shards", str(SHARDS)]
    answer = subprocess.run([*command, *(("--home", str(home)) if home else ())], capture_output=True, text=True, check=True)
    return int(answer.stdout)


def write_weights(path: Path) -> None:
    """A network of this architecture, initialised at random, always the same."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = open_clip.create_model(MODEL)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, str(path))


def ours(folder: Path, precision: Precision) -> dict[str, float]:
    """Seconds to be ready and seconds of the stage itself, its Parquet and clip-retrieval's layout written."""
    began = time.perf_counter()
    embedder = OpenClipEmbedder(MODEL, folder / "weights.safetensors", precision)
    store, workers = Store(folder), embedder.share_cores()
    keys = set(read_table(store.path("crawl/a/rows.parquet"), columns=["key"])["key"].to_pylist())
    ready = time.perf_counter()
    embed_pairs(store, "a", embedder, keys, prepare=embedder.prepare, workers=workers)
    return {"start": ready - began, "seconds": time.perf_counter() - ready}


def peer(folder: Path, batch_size: int, readers: int) -> float:
    """Seconds that clip-retrieval took from its first batch asked for to its last written, by its own log."""
    command = [
        *(str(Path(sys.executable).parent / "clip-retrieval"), "inference", "--input_format", "webdataset", "--wds_image_key", "png"),
        *("--input_dataset", str(folder / "crawl/a" / f"shard-{{00000..{SHARDS - 1:05d}}}.tar")),
        *("--output_folder", str(folder / "peer"), "--clip_model", f"open_clip:{MODEL}/{folder}/weights.safetensors"),
        *("--batch_size", str(batch_size), "--num_prepro_workers", str(readers), "--output_partition_count", "1"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    (log,) = (folder / "peer/stats").glob("*.json")
    return float(json.loads(log.read_text())["total_duration"])


def agreement(folder: Path) -> float:
    """The smallest cosine between a row of ours and the peer's row of the same key, over pictures and captions."""
    (mine,) = folder.glob("embeddings/*/a")
    ours_keys = read_table(mine / "metadata/metadata_0.parquet", columns=["key"])["key"].to_pylist()
    (metadata,) = (folder / "peer/metadata").glob("*.parquet")
    theirs_keys = read_table(metadata, columns=["image_path"])["image_path"].to_pylist()
    place = {key: i for i, key in enumerate(theirs_keys)}
    order = [place[key] for key in ours_keys]
    least = 1.0
    for name in ("img_emb", "text_emb"):
        a, b = np.load(mine / name / f"{name}_0.npy"), np.load(folder / f"peer/{name}/{name}_0.npy").astype(np.float32)[order]
        least = min(least, float((_unit(a) * _unit(b)).sum(axis=1).min()))
        centre = b.mean(axis=0)  # a random network puts everything close together; what tells rows apart is what is left
        nearest = (_unit(a - centre) @ _unit(b - centre).T).argmax(axis=1)
        same = (b[nearest] == b).all(axis=1) | (nearest == np.arange(len(b)))
        assert same.all(), f"{(~same).sum()} rows of {name} are nearest to another row of the peer's"
    assert least > 0.999, f"the embeddings differ: cosine {least}"
    return least


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
