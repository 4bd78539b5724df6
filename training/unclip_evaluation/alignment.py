"""Alignment: how well pictures fit their captions, by the judge, which shares nothing with the pipeline's CLIP."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unclip_training.judging.judge import load_judge, scores


def clip_score(judge_folder: Path, pictures: NDArray[np.uint8], captions: Sequence[str]) -> float:
    """The mean of 100 times the cosine of picture (uint8 [B, H, W, 3]) and caption; the form of GLIDE, appendix A.2, by another judge.

    `UserError` when the judge is missing. Compare only scores of the same judge.
    """
    judge, tokenizer = load_judge(judge_folder)
    return 100 * float(scores(judge, tokenizer, pictures, captions).mean())
