"""What is known about the starter corpus: labels, what is held out, and how well each filter found what was planted."""

from typing import TypedDict
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_curation.decisions.verdicts import latest_stage, read_verdicts
from unclip_curation.features import batches
from unclip_curation.splits import HELD_OUT_KEYS, write_keys
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store

TRUTH = "starter/truth.parquet"
_LABELS = ("key", "concept", "concept_label", "style", "attributes", "split", "scene", "held_out")
LABEL_SCHEMA = pa.schema([(name, pa.string()) for name in _LABELS])

# What a planted class should end as; the reasons of a class are counted as its findings.
EXPECTED = {
    "opted_out": ("robots_denied", "opt_out"),
    "slow": ("timeout",),
    "broken": ("not_an_image", "decode_error"),
    "huge": ("too_large", "too_many_pixels"),
    "redirect_loop": ("redirect_error",),
    "missing": ("http_error",),
    "exact_duplicate": ("duplicate_exact",),
    "near_duplicate": ("duplicate_perceptual", "duplicate_semantic"),
    "wrong_caption": ("caption_mismatch",),
    "email_caption": ("caption_email",),
    "boilerplate_caption": ("caption_boilerplate",),
    "foreign_caption": ("caption_language",),
    "explicit_stand_in": ("explicit",),
    "denied_licence": ("licence_denied",),
    "blank": ("blank",),
}


class Truth(TypedDict):
    """What is known of a picture of the starter corpus: the columns of truth.parquet that are read here; others have the labels."""

    url_path: str
    concept: str | None
    planted: str | None
    duplicate_of: str | None


def starter_truth(store: Store) -> dict[str, Truth]:
    """The rows of truth.parquet by the key of the crawled row at that address; empty when there is no starter corpus."""
    if not store.exists(TRUTH):
        return {}
    known = {row["url_path"]: row for row in read_table(store.path(TRUTH)).to_pylist()}
    found = dict[str, Truth]()
    for batch in batches(store):
        for row in read_table(store.path(f"crawl/{batch}/rows.parquet"), columns=["key", "url"]).to_pylist():
            if (path := urlsplit(row["url"] or "").path) in known:
                found[row["key"]] = known[path]
    return found


def starter_labels(store: Store) -> pa.Table | None:
    """`LABEL_SCHEMA` for every crawled row whose concept is known, sorted by key; None when there is no starter corpus."""
    truth = starter_truth(store)
    rows = [{name: row.get(name) for name in LABEL_SCHEMA.names} | {"key": key} for key, row in sorted(truth.items()) if row["concept"]]
    return pa.Table.from_pylist(rows, schema=LABEL_SCHEMA) if truth else None


def hold_out(store: Store, labels: pa.Table | None) -> Manifest:
    """Writes `verdicts/held_out.parquet` (key): the rows that no training may see, CLIP's included."""
    keys = sorted(row["key"] for row in labels.to_pylist() if row["split"] == "held_out") if labels is not None else []
    return write_keys(store, HELD_OUT_KEYS, keys)


def planted_report(store: Store, stage: str | None = None) -> dict[str, dict[str, float | int]]:
    """For each planted class: "true", the number planted; "found", the number of rows that ended with the class's reasons (`EXPECTED`);
    "recall" and "precision", 0..1. Judged by the verdicts of `stage`, or of the last stage decided; empty without a starter corpus.

    Which of two duplicates goes is the policy's choice, so a planted copy counts as found when it or its original goes for it.
    """
    return planted_in(store, read_verdicts(store, stage or latest_stage(store))) if store.exists(TRUTH) else {}


def planted_in(store: Store, verdicts: pa.Table) -> dict[str, dict[str, float | int]]:
    """As `planted_report`, by verdicts that need not be written."""
    if not store.exists(TRUTH):
        return {}
    reasons = {row["key"]: set(row["reasons"]) for row in verdicts.select(["key", "reasons"]).to_pylist()}
    planted = [row for row in read_table(store.path(TRUTH)).to_pylist() if row["planted"]]
    keys = {row["url_path"]: key for key, row in starter_truth(store).items()}
    return {name: _measured(name, [row for row in planted if row["planted"] == name], keys, reasons) for name in EXPECTED}


def _measured(name: str, planted: list[Truth], keys: dict[str, str], reasons: dict[str, set[str]]) -> dict[str, float | int]:
    found = {key for key, given in reasons.items() if given & set(EXPECTED[name])}
    hits, explained = 0, set[str]()
    for row in planted:
        pair = {keys.get(row["url_path"]), keys.get(row.get("duplicate_of") or "")} & found
        hits += bool(pair)
        explained |= {key for key in pair if key}
    recall = hits / len(planted) if planted else 1.0
    return {"found": len(found), "true": len(planted), "recall": recall, "precision": len(explained) / len(found) if found else 1.0}
