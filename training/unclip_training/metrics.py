"""Metrics that a finished training leaves beside its weights: `metrics.json`, and the curves as a picture."""

import math

from unclip_pairs.images import encode_png
from unclip_pairs.store import Store
from unclip_training.callbacks import Curves
from unclip_training.curve_picture import draw_curves
from unclip_training.validation import NAME

METRICS_FILE, CURVES_FILE = "metrics.json", "curves.png"


def write_metrics(store: Store, folder: str, curves: Curves) -> dict[str, float | int]:
    """Writes both files into the run's folder; gives `validation_loss`, `best_validation_loss` and `best_step`, or nothing."""
    points = [point for point in curves.points if math.isfinite(point[1])]
    final = {name: value for name, value, _, _ in points}
    lowest = curves.lowest(NAME)
    best = {} if lowest is None else {f"best_{NAME}": lowest[0], "best_step": lowest[1]}
    store.write_json(f"{folder}/{METRICS_FILE}", {"final": final, **best, "points": points})
    drawn = {shown: [(step, value) for name, value, _, step in points if name == shown] for shown in ("loss", NAME)}
    store.write_bytes(f"{folder}/{CURVES_FILE}", encode_png(draw_curves(drawn)))
    return ({NAME: final[NAME]} | best) if best else {}
