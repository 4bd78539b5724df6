"""Toxicity scorer: how offensive a caption's words are, by the linear model of the package alt-profanity-check.

The model (a linear SVM on words, trained on English tweets and Wikipedia comments) lies in the package as two joblib files. They are
pickles, so they are opened only when their bytes are the known ones, and the package itself, which opens them unseen, is not imported.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from unclip_curation.schemas import TOXICITY_SCHEMA
from unclip_curation.scorers.caption_candidates import candidates_of
from unclip_curation.scorers.captions import normalised
from unclip_curation.scorers.runner import Row, Score, Scorer
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest
from unclip_pairs.shards import Sample

PACKAGE = "alt-profanity-check==1.9.1"
VECTORIZER = ("data/vectorizer.joblib", "19c5200dc6a41f026e0558e2f164f5fe8d8f58e502b46b37e4385037fcfa4831")
MODEL = ("data/model.joblib", "aeafc04849d4d93db4721cf30a86ebf22085595294b8a07d51918e7fa98f538b")


def known_file(file: str, digest: str) -> Path:
    """The path of a file of the package; `UserError` when it is missing or not the known one."""
    spec = find_spec("profanity_check")
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError(f"the scorer 'toxicity' needs the package {PACKAGE}; install it with pip install 'unclip[toxicity]'")
    if file_digest(path) != digest:
        raise UserError(f"{path} is not the file this version knows (sha256 {digest[:12]}...); install {PACKAGE}")
    return path


def load_toxicity() -> Score:
    """The batch function of the toxicity scorer: 0..1 by caption, and for each candidate beside it in the order of `candidates_of`."""
    import joblib

    vectorizer, model = (joblib.load(known_file(*file)) for file in (VECTORIZER, MODEL))

    def score(samples: Sequence[Sample]) -> list[Row]:
        said = [[sample["txt"].decode(), *(one.text for one in candidates_of(sample))] for sample in samples]
        texts = [normalised(text) for row in said for text in row]
        scores = iter(model.predict_proba(vectorizer.transform(texts))[:, 1].tolist() if texts else [])
        found = [list(islice(scores, len(row))) for row in said]
        return [
            {"key": sample["__key__"], "toxicity": values[0], "candidate_toxicity": values[1:]}
            for sample, values in zip(samples, found, strict=True)
        ]

    return score


TOXICITY = Scorer(
    name="toxicity",
    version=2,
    schema=TOXICITY_SCHEMA,
    load=load_toxicity,
    about="how offensive the words of the caption and of its candidates are (English)",
    cost="0.05 ms a caption",
    reads="caption",
)
