"""How well a classifier does on held-out transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

# scikit-learn's log_loss clips by the same: a label the model does not know costs 36 nats.
SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one label.

    Args:
        label: the label.
        precision: correct share of the rows that were predicted to have it, in [0, 1].
        recall: found share of the rows that have it, in [0, 1].
        f1: harmonic mean of both, in [0, 1].
        rows: held-out rows that have it.
    """

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a classifier on held-out rows.

    Args:
        rows: number of held-out rows.
        accuracy: share of correctly predicted rows, in [0, 1].
        macro_f1: unweighted mean of the labels' F1 scores, in [0, 1].
        log_loss: mean negative logarithm of the true label's probability, in nats.
        classes: scores of each label that occurs in the held-out rows, by label.
    """

    rows: int
    accuracy: float
    macro_f1: float
    log_loss: float
    classes: tuple[ClassScores, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as plain values that JSON can hold."""
        return _EVALUATION.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """Rebuild an evaluation from `as_dict`.

        Args:
            values: what `as_dict` returned, also after a round trip through JSON.

        Returns:
            The evaluation.

        Raises:
            pydantic.ValidationError: a key is missing or a value has the wrong type.
        """
        return _EVALUATION.validate_python(values)


_EVALUATION = TypeAdapter(Evaluation)


def evaluate_probabilities(
    labels: npt.NDArray[np.object_],
    probabilities: npt.NDArray[np.float64],
    known_labels: Sequence[str],
) -> Evaluation:
    """Score predicted probabilities against the true labels.

    Only labels that occur among the true ones count in the macro average, so that two models
    with different label sets are compared over the same labels. Definitions: scikit-learn user
    guide, "Metrics and scoring"; precision and F1 without a prediction are 0.

    Args:
        labels: true labels, shape (rows,); at least one.
        probabilities: shape (rows, len(known_labels)), each row sums to 1.
        known_labels: the labels that the model can predict, in the columns' order.

    Returns:
        The evaluation.

    Raises:
        ValueError: there are no rows, or the shapes do not agree.
    """
    if len(labels) == 0:
        raise ValueError("labels: there are no held-out rows to evaluate on; fix: give at least 1")
    if probabilities.shape != (len(labels), len(known_labels)):
        raise ValueError(
            f"probabilities: shape {probabilities.shape} does not fit "
            f"{len(labels)} rows and {len(known_labels)} labels"
        )
    known = np.asarray(known_labels, dtype=object)
    predicted = known[np.argmax(probabilities, axis=1)]
    present = sorted(set(labels))
    precision, recall, f1, rows = precision_recall_fscore_support(
        labels, predicted, labels=present, average=None, zero_division=0.0
    )
    column = {label: index for index, label in enumerate(known_labels)}
    columns = np.array([column.get(label, -1) for label in labels])
    true_probability = np.where(columns < 0, 0.0, probabilities[np.arange(len(labels)), columns])
    return Evaluation(
        rows=len(labels),
        accuracy=float(accuracy_score(labels, predicted)),
        macro_f1=float(np.mean(f1)),
        log_loss=float(-np.mean(np.log(np.clip(true_probability, SMALLEST_PROBABILITY, 1.0)))),
        classes=tuple(
            ClassScores(label, float(precision[i]), float(recall[i]), float(f1[i]), int(rows[i]))
            for i, label in enumerate(present)
        ),
    )
