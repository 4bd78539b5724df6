"""Labels as JSON lines: seeds that come in, and everything ever said going out."""

import json
from collections.abc import Iterator

from unclip_labels.label_store import SEEDS_RATER, TRAIN, VALUES, LabelStore, check_rater
from unclip_pairs.errors import UserError


def read_seeds(book: LabelStore, category: str, text: str) -> int:
    """Takes in lines of the form {"key": "...", "label": "yes"} (with "rater" when one is known) and gives how many pictures are labelled
    by them; what a rater has said already stays. `UserError` names the line that is wrong, and then nothing is taken in."""
    seeds = [_seed(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    book.add_items(category, [key for key, _, _ in seeds], TRAIN, "seed")
    known = {(item.key, rater) for item in book.items(category) for rater in item.labels}
    fresh = [seed for seed in seeds if (seed[0], seed[1]) not in known]
    for key, rater, value in fresh:
        book.label(category, key, rater, value)
    return len({key for key, _, _ in fresh})


def _seed(number: int, line: str) -> tuple[str, str, str]:
    try:
        fields = json.loads(line)
        key, value = str(fields["key"]), str(fields["label"])
        rater = check_rater(str(fields.get("rater", SEEDS_RATER)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'line {number} of the seeds ({line[:60]!r}) must look like {{"key": "...", "label": "yes"}}; put it right'
        ) from error
    if value not in VALUES or not key:
        raise UserError(f"the label {value!r} in line {number} of the seeds is none of {', '.join(VALUES)}; choose one of them")
    return key, rater, value


def written(book: LabelStore, category: str) -> Iterator[str]:
    """A line of JSON for every label ever given to the category, the withdrawn ones included, in the order they were given."""
    for said in book.all_labels(category):
        yield json.dumps(said, ensure_ascii=False, sort_keys=True)
