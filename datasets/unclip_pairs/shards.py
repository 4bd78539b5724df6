"""Shards: WebDataset tars with a Parquet sidecar, done when their manifest exists.

Standard `tarfile` writes and reads them, not `webdataset`, whose import loads torch and whose reader runs `pipe:` addresses and unpickles;
trainings open the same tars with `webdataset`.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.parquet import write_table

from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError
from unclip_pairs.manifest import Manifest, make_manifest, read_manifest, write_manifest
from unclip_pairs.store import Store

EXTENSIONS = ("png", "jpg", "webp", "txt", "json", "captions.json", "clip_image.npy", "clip_text.npy")
ROW_GROUP = 1 << 16  # rows that a reader must hold at once
COPY_BYTES = 1 << 20  # written at once; 16 kB at a time cost the crawl 2 % of its processor time
Sample = dict[str, Any]  # webdataset's own form: "__key__" is text, every extension is bytes


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds one member without time or owner, so the same samples give the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _write_tar(path: Path, samples: Iterable[Mapping[str, object]]) -> int:
    """The number of samples written."""
    seen = set[str]()
    with tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT, copybufsize=COPY_BYTES) as tar:
        for sample in samples:
            key = sample["__key__"]
            assert isinstance(key, str) and key and key not in seen and not set("./\\") & set(key), f"bad or repeated key {key!r}"
            seen.add(key)
            for extension, data in sample.items():
                if extension != "__key__":
                    assert extension in EXTENSIONS and isinstance(data, bytes), f"unknown extension {extension!r}"
                    _add(tar, f"{key}.{extension}", data)
    return len(seen)


def write_parquet(store: Store, name: str, rows: pa.Table, *, manifest: str | None = None) -> None:
    """Writes the table whole or not at all. `manifest` is the name of an older manifest that vouches for the file it replaces: it goes once
    the new rows are written and before they take the name, so that no reader ever finds it beside a file that it does not describe."""
    with store.writing(name) as part:
        write_table(rows, part, compression="zstd", row_group_size=ROW_GROUP)
        if manifest is not None:
            store.remove(manifest)


def write_shard(
    store: Store,
    name: str,
    samples: Iterable[Mapping[str, object]],
    rows: pa.Table,
    *,
    kind: str = "shard",
    inputs: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    created: str | None = None,
) -> Manifest:
    """Writes `name`.tar, `name`.parquet and last `name`.json; gives the manifest, whose counts are samples, rows and bytes; `created` as in
    `make_manifest`.

    A sample maps "__key__" to its key and each extension (`EXTENSIONS`) to bytes.
    """
    with store.writing(f"{name}.tar") as part:
        count = _write_tar(part, samples)
    write_parquet(store, f"{name}.parquet", rows)
    counts = {"samples": count, "rows": rows.num_rows, "bytes": store.path(f"{name}.tar").stat().st_size}
    files = [f"{name}.tar", f"{name}.parquet"]
    manifest = make_manifest(store, kind, files, inputs=inputs, settings=settings, counts=counts, created=created)
    return write_manifest(store, f"{name}.json", manifest)


def read_shard(store: Store, name: str, keys: Set[str] | None = None) -> Iterator[Sample]:
    """The samples in their order, each with "__key__" and raw bytes per extension; unknown extensions are left out.

    `keys` None means all; the bytes of other samples are skipped unread.

    `UserError` when the shard is not finished or its tar is damaged.
    """
    if read_manifest(store, f"{name}.json") is None:
        raise UserError(f"the shard {name} has no manifest, so it is not finished; run the step that makes it again")
    try:
        with tarfile.open(store.path(f"{name}.tar"), "r:") as tar:
            yield from _samples(tar, keys)
    except (tarfile.TarError, FileNotFoundError) as error:
        raise UserError(
            f"the shard {store.path(name)}.tar is damaged ({error}); move its .json aside and run the step that makes it"
        ) from error


def _samples(tar: tarfile.TarFile, keys: Set[str] | None) -> Iterator[Sample]:
    sample: Sample = {}
    for member in tar:
        key, _, extension = member.name.partition(".")
        if not member.isfile() or extension not in EXTENSIONS or (keys is not None and key not in keys):
            continue
        if sample and sample["__key__"] != key:
            yield sample
            sample = {}
        file = tar.extractfile(member)
        assert file is not None
        sample |= {"__key__": key, extension: file.read()}
    if sample:
        yield sample


def shard_names(store: Store, prefix: str) -> list[str]:
    """The sorted names, without extension, of the finished shards under `prefix`."""
    names = set(store.names(prefix))
    stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return sorted(stem for stem in stems if f"{stem}.tar" in names)


def picture_bytes(sample: Sample) -> bytes:
    """The encoded picture of a sample; `DecodeError` when it has none."""
    for extension in ("png", "jpg", "webp"):
        if extension in sample:
            return sample[extension]
    raise DecodeError("not_an_image", "the sample holds no png, jpg or webp")
