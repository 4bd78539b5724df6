"""Set figures: an evaluation's rates by set of prompts, beside the three baselines, as rows of text."""

from collections.abc import Iterator, Mapping

from unclip_evaluation.figures import ALL_SETS
from unclip_pairs.json_value import JsonObject, JsonValue

COLUMNS = ("set", "figure", "painted", "real", "floor", "copying", "prompts")
ROWS = ("painted", "real", "floor", "copying")
PLAIN = {"concept_at_1": "concept @1", "concept_at_5": "concept @5", "style": "style"}


def rows(figures: JsonObject) -> Iterator[tuple[str, ...]]:
    """A row of `COLUMNS` for each rate of each set; an evaluation without sets gives none.

    Painted and real rates stand with their 95 % interval; a rate over no pictures is a dash.
    """
    sets = mapping(figures.get("sets"))
    for name in (name for name in ALL_SETS if name in sets):
        fields = mapping(sets[name])
        rates = {shown: mapping(fields.get(field)) for field, shown in PLAIN.items()}
        rates |= {f"check: {check}": mapping(value) for check, value in mapping(fields.get("checks")).items()}
        for place, (figure, compared) in enumerate(rates.items()):
            cells = [shown_rate(mapping(compared.get(row)), with_interval=row in ("painted", "real")) for row in ROWS]
            yield "" if place else name.replace("_", " "), figure, *cells, "" if place else str(fields.get("num_prompts", ""))


def notes(figures: JsonObject) -> Iterator[tuple[str, str]]:
    """What else one wants to know beside the table: the judges' own accuracy, how far seeds lie apart, and which sets are missing."""
    probes, diverse = mapping(figures.get("probes")), mapping(figures.get("diversity"))
    for field, shown in PLAIN.items() if probes else ():
        yield f"probe, {shown}", f"{shown_rate(mapping(probes.get(field)))} on {probes.get('split')} pictures"
    for name, value in mapping(figures.get("checkers")).items():
        right, wrong = (shown_rate(mapping(mapping(value).get(side)), with_interval=False) for side in ("right", "wrong"))
        yield f"check, {name}", f"{right} of real pictures pass, {wrong} when asked for something else"
    if diverse:
        yield (
            "two seeds differ by",
            f"{_number(diverse['pixel_difference']):.1f} of 255 ({_number(diverse['feature_distance']):.3f} in features)",
        )
        all_seeds, one = shown_rate(mapping(diverse.get("concept_at_1"))), shown_rate(mapping(diverse.get("concept_at_1_one_seed")))
        yield "concept @1, all seeds", f"{all_seeds}; of one seed {one}"
    for name, why in mapping(figures.get("missing_sets")).items():
        yield f"no set {name.replace('_', ' ')}", str(why)


def shown_rate(rate: JsonObject, *, with_interval: bool = True) -> str:
    """`0.60 (0.53 to 0.67)`, or `0.60`, or a dash over no pictures."""
    if not rate.get("of"):
        return "-"
    value, low, high = (_number(rate[name]) for name in ("value", "low", "high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if with_interval else f"{value:.2f}"


def mapping(value: JsonValue) -> JsonObject:
    """The value as an object; an empty one for what is none."""
    return value if isinstance(value, Mapping) else {}


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
