"""Linear probe: ridge regression from standardised features to one-hot classes, in closed form."""

# N pictures, D features, C classes

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LinearProbe:
    """Scores of classes: standardised features times `weights` [D + 1, C], the last row being the offset."""

    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, C] of features [N, D]; the largest is the answer."""
        return ((features - self.mean) / self.scale) @ self.weights[:-1] + self.weights[-1]

    def hits(self, features: NDArray[np.float32], asked: Sequence[Collection[str]], at: int = 1) -> NDArray[np.bool_]:
        """bool [N]: whether one of the asked classes of a picture is among its `at` largest scores; one that is not known never is."""
        found = np.argsort(-self.scores(features), axis=1)[:, :at]
        return np.array([any(self.classes[i] in wanted for i in row) for row, wanted in zip(found, asked, strict=True)], dtype=bool)

    def places(self, names: Sequence[str]) -> list[int | None]:
        """The column of each class, None where it is not known."""
        known = {name: place for place, name in enumerate(self.classes)}
        return [known.get(name) for name in names]


def fit_ridge(features: NDArray[np.float32], answers: Sequence[str], penalty: float) -> LinearProbe:
    """The probe that best predicts one-hot `answers` (N of them) from features [N, D], with `penalty` times the squared weights."""
    assert len(features) == len(answers) > 0
    classes = tuple(sorted(set(answers)))
    mean, scale = features.mean(0), features.std(0) + 1e-3
    known = {name: place for place, name in enumerate(classes)}
    x_ND1 = np.concatenate([(features - mean) / scale, np.ones((len(features), 1), np.float32)], axis=1).astype(np.float64)
    y_NC = np.zeros((len(answers), len(classes)))
    y_NC[np.arange(len(answers)), [known[answer] for answer in answers]] = 1
    weights = np.linalg.solve(x_ND1.T @ x_ND1 + penalty * np.eye(x_ND1.shape[1]), x_ND1.T @ y_NC)
    return LinearProbe(classes, weights.astype(np.float32), mean.astype(np.float32), scale.astype(np.float32))
