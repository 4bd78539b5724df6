"""Description of a dataset version: all its rows in one table, the data card, a sheet of samples, and Croissant."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

import pyarrow as pa
from PIL import Image
from pyarrow.parquet import ParquetWriter, read_table

from unclip_curation.decisions.ground_truth import LABEL_SCHEMA, planted_report
from unclip_curation.decisions.verdicts import counts
from unclip_curation.embeddings.blurring import Box
from unclip_curation.features import batches
from unclip_curation.policy import Policy
from unclip_curation.publishing.croissant import croissant
from unclip_curation.publishing.data_card import GAPS, NamedProbe, data_card
from unclip_curation.publishing.data_card_page import card_page
from unclip_curation.samples import COLUMNS, spread
from unclip_curation.schemas import VERDICT_SCHEMA
from unclip_pairs.images import contact_sheet, decode, encode_png
from unclip_pairs.manifest import file_digest
from unclip_pairs.shards import read_shard
from unclip_pairs.store import Store

PUBLISHED_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("key", "url", "page_url", "caption", "licence", "host", "sha256")]
    + [("width", pa.int32()), ("height", pa.int32()), ("weight", pa.float32()), ("similarity", pa.float32())]
    + [(name, pa.string()) for name in LABEL_SCHEMA.names[1:]]
    + [VERDICT_SCHEMA.field("blur"), ("captions", pa.list_(pa.string()))]
)
ROWS = "rows.parquet"


class Label(TypedDict):
    """The columns of `LABEL_SCHEMA` but `key`."""

    concept: str | None
    concept_label: str | None
    style: str | None
    attributes: str | None
    split: str | None
    scene: str | None
    held_out: str | None


class CrawledRow(TypedDict):
    """The columns of a crawled row that a dataset is made from."""

    key: str
    url: str
    page_url: str | None
    caption: str
    licence: str | None
    host: str | None
    sha256: str
    width: int
    height: int
    shard: str
    fetched_at: str
    status: str


class DatasetRow(CrawledRow, Label):
    """A row of a dataset with everything that is known of it; `PUBLISHED_SCHEMA` names what is published."""

    weight: float
    similarity: float
    blur: list[Box] | None
    captions: list[str]
    caption_sources: list[str]


Rows = list[DatasetRow]


def fetched_until(rows: Rows) -> str:
    """When the latest of the rows was fetched: the one time that the same rows always have."""
    return max(str(row["fetched_at"]) for row in rows)


def describe(store: Store, version: str, policy: Policy, rows: Rows, inputs: Mapping[str, str], files: Sequence[str]) -> list[str]:
    """Writes `rows.parquet` (the sidecars of all shards as one), `card.md`, `card.html`, `samples.png` and `croissant.json` of a version
    whose shards' `files` are finished; gives their names. The same arguments give the same bytes."""
    folder = f"datasets/{version}"
    _write_rows(store, f"{folder}/{ROWS}", files)
    languages, probes = _languages(store, {row["key"] for row in rows}), _probes(store, policy)
    card = data_card(rows, version, policy, counts(store, "final"), planted_report(store, "final"), inputs, languages, probes)
    store.write_bytes(f"{folder}/samples.png", encode_png(_sheet(store, rows, files)))
    store.write_bytes(f"{folder}/card.md", card.encode())
    store.write_bytes(f"{folder}/card.html", card_page(f"Dataset {version}", card).encode())
    data = [f"{folder}/{ROWS}", *(name for name in files if name.endswith((".tar", ".parquet")))]
    digests = {name.removeprefix(f"{folder}/"): file_digest(store.path(name)) for name in data}
    licences = sorted({str(row["licence"]) for row in rows if row["licence"]})
    store.write_bytes(
        f"{folder}/croissant.json", croissant(version, ROWS, PUBLISHED_SCHEMA, digests, licences, fetched_until(rows)[:10], GAPS)
    )
    return [f"{folder}/{name}" for name in (ROWS, "card.md", "card.html", "samples.png", "croissant.json")]


def _write_rows(store: Store, name: str, files: Sequence[str]) -> None:
    """One shard's rows at a time, so memory does not grow with the set."""
    with store.writing(name) as part, ParquetWriter(part, PUBLISHED_SCHEMA, compression="zstd") as writer:
        for file in files:
            if file.endswith(".parquet"):
                writer.write_table(read_table(store.path(file), schema=PUBLISHED_SCHEMA))


def _sheet(store: Store, rows: Rows, files: Sequence[str]) -> Image.Image:
    """Some of the pictures as they are published: what is blurred in the set is blurred here."""
    keys, images = set(spread([row["key"] for row in rows], 48)), list[Image.Image]()
    for shard in (name.removesuffix(".tar") for name in files if name.endswith(".tar")):
        for sample in read_shard(store, shard, keys):
            images.append(decode(sample[next(kind for kind in ("png", "jpg", "webp") if kind in sample)]))
    return contact_sheet([images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)], tile=96)


def _languages(store: Store, keys: set[str]) -> dict[str, int]:
    """Captions of the keys by their likeliest language, "unknown" where none was found; empty when nobody asked."""
    found, asked = Counter[str](), [batch for batch in batches(store) if store.exists(f"features/{batch}/caption.parquet")]
    for batch in asked:
        table = read_table(store.path(f"features/{batch}/caption.parquet"), columns=["key", "languages"])
        pairs = zip(table["key"].to_pylist(), table["languages"].to_pylist(), strict=True)
        found.update(languages[0] if languages else "unknown" for key, languages in pairs if key in keys)
    return dict(found)


def _probes(store: Store, policy: Policy) -> list[NamedProbe]:
    """The reports of the probes that the policy names, with the threshold that the policy sets."""
    named = policy.probes
    names = {category: f"probes/{category}/{one['probe']}/report.json" for category, one in sorted(named.items())}
    return [
        store.read_json(name) | {"present": float(named[category]["threshold"])} for category, name in names.items() if store.exists(name)
    ]
