"""Publication: an immutable dataset version with pictures, captions, embeddings, weights and labels."""

import io
import json
import tarfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.caption_lists import CAPTION_LISTS, CaptionList, caption_lists_manifest, read_caption_lists
from unclip_curation.decisions.verdicts import embeddings_of, read_verdicts
from unclip_curation.embeddings.blurring import Blurs, blurred_sample, read_blurs
from unclip_curation.embeddings.embedding import column_vectors
from unclip_curation.features import batches, crawl_manifest, required
from unclip_curation.policy import Policy
from unclip_curation.publishing.documents import PUBLISHED_SCHEMA, CrawledRow, DatasetRow, Label, Rows, describe, fetched_until
from unclip_curation.splits import SPLITS, VALIDATION_KEYS, read_keys
from unclip_curation.tables import embedding_files
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, file_digest, is_done, make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.shards import EXTENSIONS, Sample, write_shard
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns

LAYOUT = 3
SHARD_SIZE = 1_000
PROMPTS = "starter/prompts.json"
_UNLABELLED: Label = {
    "concept": None,
    "concept_label": None,
    "style": None,
    "attributes": None,
    "split": "train",
    "scene": None,
    "held_out": None,
}
_CRAWLED = ("key", "url", "page_url", "caption", "licence", "host", "sha256", "width", "height", "shard", "fetched_at")


def publish(store: Store, policy: Policy, labels: pa.Table | None, embeddings: str) -> Manifest:
    """Writes `datasets/<version>/`: shards `train-*`, `held_out-*` and `validation-*` (tar, sidecar of `PUBLISHED_SCHEMA`, manifest), what
    describes them (`describe`), `prompts.json` where the ground truth has one and, last, `manifest.json`, whose settings name the version.
    The same inputs give the same version and the same bytes.

    `labels` are rows of `LABEL_SCHEMA`; those whose split is "held_out" go to the shards of that name, those that `choose_validation` set
    apart to the validation shards. `embeddings` is the folder under `embeddings/`. `UserError` when the final verdicts are of another
    policy, the captions were chosen by other verdicts, nothing is left to publish, or an embedding is missing.
    """
    inputs = _inputs(store, policy, labels, embeddings)
    settings: dict[str, object] = {"layout": LAYOUT, "shard_size": SHARD_SIZE, "policy_version": policy.version, "policy": policy.settings}
    version = f"v-{settings_digest([inputs, settings])[:12]}"
    name, settings = f"datasets/{version}/manifest.json", settings | {"version": version}
    if is_done(store, name, inputs, settings):
        return required(store, name, "publish again")
    rows = _rows(store, labels, embeddings)
    files = [file for split in SPLITS for file in _write_split(store, version, split, rows, embeddings)]
    totals = {split: sum(row["split"] == split for row in rows) for split in SPLITS}
    files += describe(store, version, policy, rows, inputs, files)
    if "prompts" in inputs:
        store.write_bytes(f"datasets/{version}/prompts.json", store.read_bytes(PROMPTS))
        files.append(f"datasets/{version}/prompts.json")
    manifest = make_manifest(store, "dataset", files, inputs=inputs, settings=settings, counts=totals)
    return write_manifest(store, name, manifest)


def decided_embeddings(store: Store) -> str:
    """The folder under `embeddings/` that the final verdicts were decided from; `UserError` when there are none."""
    final = required(store, "verdicts/final.json", "run `unclip data curate --clip CLIP` first")
    embeddings = embeddings_of(final)
    if embeddings is None:
        raise UserError("the final verdicts were decided without embeddings; run `unclip data curate --clip CLIP`, then build again")
    return embeddings


def _inputs(store: Store, policy: Policy, labels: pa.Table | None, embeddings: str) -> dict[str, str]:
    final = required(store, "verdicts/final.json", "decide the stage 'final' first")
    if final.settings.get("policy_version") != policy.version:
        raise UserError(
            f"the final verdicts are of policy {final.settings.get('policy_version')}, not {policy.version}; decide all stages again"
        )
    taken = read_takedowns(store).digest
    inputs = (
        ({"takedowns": taken} if taken else {})
        | {"verdicts/final": final.digest}
        | {f"crawl/{batch}": crawl_manifest(store, batch).digest for batch in batches(store)}
    )
    for file in embedding_files(store, embeddings):
        name = file.removesuffix(".parquet")
        inputs[name] = required(store, f"{name}.json", "embed the pairs first").digest
    chosen = {CAPTION_LISTS: caption_lists_manifest(store), VALIDATION_KEYS: read_manifest(store, f"{VALIDATION_KEYS}.json")}
    inputs |= {name: manifest.digest for name, manifest in chosen.items() if manifest is not None}
    return inputs | (_truth_digests(store, labels) if labels is not None else {})


def _truth_digests(store: Store, labels: pa.Table) -> dict[str, str]:
    prompts = {"prompts": file_digest(store.path(PROMPTS))} if store.exists(PROMPTS) else {}
    return {"labels": settings_digest(labels.to_pylist())} | prompts


def _split(label: Label, is_validation: bool) -> str:
    """Where a pair goes; what the ground truth holds out is held out."""
    return "held_out" if label["split"] == "held_out" else "validation" if is_validation else "train"


def _rows(store: Store, labels: pa.Table | None, embeddings: str) -> Rows:
    """The kept rows with everything that is known of them, sorted by key: keys are digests, so this order is a fixed shuffle."""
    verdicts = read_verdicts(store, "final")
    gone = read_takedowns(store).keys
    kept = {row["key"]: row["weight"] for row in verdicts.filter(verdicts["keep"]).to_pylist() if row["key"] not in gone}
    known: dict[str, Label] = {row["key"]: row for row in labels.to_pylist()} if labels is not None else {}
    similar = dict[str, float]()
    for file in embedding_files(store, embeddings):
        table = read_table(store.path(file), columns=["key", "similarity"])
        similar |= dict(zip(table["key"].to_pylist(), table["similarity"].to_pylist(), strict=True))
    crawled = dict[str, CrawledRow]()
    for batch in batches(store):
        rows = read_table(store.path(f"crawl/{batch}/rows.parquet"), columns=[*_CRAWLED, "status"]).to_pylist()
        crawled |= {row["key"]: row for row in rows if row["key"] in kept and row["status"] == "ok"}
    if not crawled:
        raise UserError(f"the policy keeps none of {verdicts.num_rows} rows; loosen it, or crawl more")
    missing = crawled.keys() - similar.keys()
    if missing:
        raise UserError(f"{len(missing)} kept rows have no embedding under embeddings/{embeddings}; embed the pairs again")
    blurs, validation, further = _blurs(store, set(crawled)), read_keys(store, VALIDATION_KEYS), read_caption_lists(store)
    rows = list[DatasetRow]()
    for key, row in sorted(crawled.items()):
        label: Label = {**_UNLABELLED, **known.get(key, _UNLABELLED)}
        label["split"], beside = _split(label, key in validation), further.get(key, CaptionList())
        rows.append(
            {
                **row,
                **label,
                "weight": kept[key],
                "similarity": similar[key],
                "blur": blurs.get(key),
                "captions": [row["caption"], *beside.texts],
                "caption_sources": ["caption", *beside.sources],
            }
        )
    return rows


def _blurs(store: Store, keys: set[str]) -> Blurs:
    """What must be blurred; `UserError` when the embeddings, which follow the safety stage, were made of other pixels."""
    asked, embedded = ({key: areas for key, areas in read_blurs(store, stage).items() if key in keys} for stage in ("final", "safety"))
    if asked != embedded:
        raise UserError("the safety stage blurs other faces than the final stage; decide all stages again, then embed again")
    return asked


def _write_split(store: Store, version: str, split: str, rows: Rows, embeddings: str) -> list[str]:
    """The files of a split's shards; a finished shard is not written again."""
    mine, files = [row for row in rows if row["split"] == split], list[str]()
    for number, start in enumerate(range(0, len(mine), SHARD_SIZE)):
        name = f"datasets/{version}/{split}-{number:05d}"
        if read_manifest(store, f"{name}.json") is None:
            part = mine[start : start + SHARD_SIZE]
            table = pa.Table.from_pylist(part, schema=PUBLISHED_SCHEMA)
            write_shard(store, name, _samples(store, part, embeddings), table, created=fetched_until(rows))
        files += [f"{name}.{extension}" for extension in ("tar", "parquet", "json")]
    return files


def _samples(store: Store, rows: Rows, embeddings: str) -> Iterator[Sample]:
    """The samples of the rows, in their order."""
    vectors = _vectors(store, embeddings, {row["key"] for row in rows})
    pictures = _pictures(store, rows)
    for row in rows:
        image, text = vectors[row["key"]]
        description = {name: row[name] for name in PUBLISHED_SCHEMA.names}
        stored = pictures[row["key"]]
        yield {
            "__key__": row["key"],
            **(blurred_sample(stored, row["blur"]) if row["blur"] else stored),
            "txt": row["caption"].encode(),
            "captions.json": json.dumps(row["captions"], ensure_ascii=False).encode(),
            "json": json.dumps(description, sort_keys=True, ensure_ascii=False).encode(),
            "clip_image.npy": _npy(image),
            "clip_text.npy": _npy(text),
        }


def _npy(vector: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(vector, dtype=np.float32), allow_pickle=False)
    return buffer.getvalue()


def _vectors(store: Store, embeddings: str, keys: set[str]) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    found = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]()
    for file in embedding_files(store, embeddings):
        table = read_table(store.path(file), filters=[("key", "in", sorted(keys))])
        columns = (column_vectors(table, column) for column in ("clip_image", "clip_text"))
        found |= dict(zip(table["key"].to_pylist(), zip(*columns, strict=True), strict=True))
    return found


def _pictures(store: Store, rows: Rows) -> dict[str, dict[str, bytes]]:
    """The encoded pictures of one shard's rows, read at their places in the crawl's tars, each of which is opened once."""
    by_shard, found = dict[str, set[str]](), dict[str, dict[str, bytes]]()
    for row in rows:
        by_shard.setdefault(row["shard"], set()).add(row["key"])
    for shard, keys in sorted(by_shard.items()):
        with tarfile.open(store.path(f"{shard}.tar"), "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if key in keys and extension in EXTENSIONS[:3] and (file := tar.extractfile(member)) is not None:
                    found[key] = {extension: file.read()}
    return found
