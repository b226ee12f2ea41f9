"""Compares two models on the same held-out rows, from what they predict.

Uncertainty is that of the rows, by a bootstrap in which the same draws judge both models
(percentile intervals: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transak_drift.training.promotion import (
    CalibrationBin,
    ClassComparison,
    ClassScores,
    Confusion,
    EvaluatedModel,
    Evaluation,
    Interval,
    SetComparison,
    SetName,
)

DRAWS = 1_000
# A picture of a model has so much.
MAX_MATRIX_LABELS = 15
MAX_CONFUSIONS = 8
_MAX_EXAMPLES = 2
_MAX_TEXT = 120
_BINS = 10
_TAIL = 0.025
_SEED = 14
# Counts of rows by class and draw that are kept at once.
_MAX_DRAWN = 4_000_000

Labels = npt.NDArray[np.object_]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says of each row: a label, and the probability that it gives to it.

    `true_probability` is what it gives to the true label, 0 where it does not know that.
    """

    labels: Labels
    probability: npt.NDArray[np.float64]
    true_probability: npt.NDArray[np.float64]


def compare_models(
    name: SetName,
    labels: Labels,
    descriptions: Labels,
    challenger: Predictions,
    champion: Predictions | None,
) -> SetComparison:
    """Compare on rows whose true labels are known; the same rows have the same intervals."""
    models = [challenger] if champion is None else [challenger, champion]
    answers = [labels, *(model.labels for model in models)]
    every, inverse = np.unique(np.concatenate(answers), return_inverse=True)
    codes = np.split(inverse.ravel(), len(answers))
    support = np.bincount(codes[0], minlength=len(every))
    occurring = np.argsort(-support, kind="stable")[: np.count_nonzero(support)]
    scores = [_class_scores(codes[0], predicted, len(every)) for predicted in codes[1:]]
    overall, by_class = None, None
    if champion is not None and len(labels):
        overall, by_class = _intervals(*codes, occurring)
    classes = tuple(
        ClassComparison(
            label=str(every[code])[:_MAX_TEXT],
            rows=int(support[code]),
            challenger=scores[0][code],
            champion=scores[1][code] if champion is not None else None,
            difference=by_class[place] if by_class else None,
        )
        for place, code in enumerate(occurring)
    )
    in_matrix = occurring[:MAX_MATRIX_LABELS]
    evaluated = [
        EvaluatedModel(
            scores=_evaluation(model, labels, [of_class[code] for code in occurring]),
            matrix=_matrix(codes[0], predicted, in_matrix, len(every)),
            confusions=_confusions(codes[0], predicted, every, descriptions),
            calibration=_calibration(model, codes[0] == predicted),
        )
        for model, predicted, of_class in zip(models, codes[1:], scores, strict=True)
    ]
    return SetComparison(
        name=name,
        challenger=evaluated[0],
        champion=evaluated[1] if champion is not None else None,
        difference=overall,
        classes=classes,
        matrix_labels=tuple(str(every[code])[:_MAX_TEXT] for code in in_matrix),
    )


def _class_scores(true: Counts, predicted: Counts, size: int) -> list[ClassScores]:
    right = np.bincount(true[true == predicted], minlength=size)
    of_class = np.bincount(true, minlength=size)
    said = np.bincount(predicted, minlength=size)
    return [
        ClassScores(
            precision=hits / max(answers, 1),
            recall=hits / max(rows, 1),
            f1=2 * hits / max(answers + rows, 1),
        )
        for hits, answers, rows in zip(
            right.tolist(), said.tolist(), of_class.tolist(), strict=True
        )
    ]


def _evaluation(model: Predictions, labels: Labels, scores: Sequence[ClassScores]) -> Evaluation:
    if not len(labels):
        return Evaluation(rows=0, accuracy=0.0, macro_f1=0.0, log_loss=0.0)
    smallest = np.finfo(np.float64).eps
    return Evaluation(
        rows=len(labels),
        accuracy=float(np.mean(model.labels == labels)),
        macro_f1=float(np.mean([item.f1 for item in scores])),
        log_loss=float(-np.mean(np.log(np.clip(model.true_probability, smallest, 1.0)))),
    )


def _intervals(
    true: Counts, challenger: Counts, champion: Counts, occurring: Counts
) -> tuple[Interval, list[Interval]]:
    """Draw the rows anew, many times, and score both models on each draw.

    Rows with the same label and the same answers are alike: a draw is how often each of their kinds
    is in it, which is multinomial.
    """
    kinds, counts = np.unique(
        np.stack([true, challenger, champion], axis=1), axis=0, return_counts=True
    )
    labels, answers, former = (kinds[:, [column]] == occurring for column in range(3))
    summands = np.concatenate(
        [labels, answers, former, labels & answers, labels & former], axis=1
    ).astype(np.float64)
    random = np.random.default_rng(_SEED)
    share = counts / counts.sum()
    by_class: list[npt.NDArray[np.float64]] = []
    per_part = max(1, min(DRAWS, _MAX_DRAWN // max(len(counts), summands.shape[1])))
    for start in range(0, DRAWS, per_part):
        draws = random.multinomial(counts.sum(), share, size=min(per_part, DRAWS - start))
        rows, said, said_before, right, right_before = np.split(
            draws.astype(np.float64) @ summands, 5, axis=1
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = 2 * right / (rows + said) - 2 * right_before / (rows + said_before)
        # A draw without any row of a class says nothing of it.
        by_class.append(np.where(rows > 0, difference, np.nan))
    differences = np.concatenate(by_class)
    return (
        _interval(np.nanmean(differences, axis=1)),
        [_interval(column[~np.isnan(column)]) for column in differences.T],
    )


def _interval(differences: npt.NDArray[np.float64]) -> Interval:
    low, high = np.quantile(differences, [_TAIL, 1 - _TAIL])
    return Interval(low=float(low), high=float(high))


def _matrix(
    true: Counts, predicted: Counts, in_matrix: Counts, size: int
) -> tuple[tuple[int, ...], ...]:
    place = np.full(size, len(in_matrix))
    place[in_matrix] = np.arange(len(in_matrix))
    cells = np.zeros((len(in_matrix) + 1,) * 2, dtype=np.int64)
    np.add.at(cells, (place[true], place[predicted]), 1)
    return tuple(tuple(row) for row in cells.tolist())


def _confusions(
    true: Counts, predicted: Counts, every: Labels, descriptions: Labels
) -> tuple[Confusion, ...]:
    wrong = np.flatnonzero(true != predicted)
    pairs, index, counts = np.unique(
        np.stack([true[wrong], predicted[wrong]], axis=1),
        axis=0,
        return_inverse=True,
        return_counts=True,
    )
    found = []
    for pair in np.argsort(-counts, kind="stable")[:MAX_CONFUSIONS]:
        rows = wrong[index.ravel() == pair]
        examples = dict.fromkeys(str(descriptions[row])[:_MAX_TEXT] for row in rows)
        label, said = (str(every[code])[:_MAX_TEXT] for code in pairs[pair])
        found.append(
            Confusion(
                label=label,
                predicted=said,
                rows=int(counts[pair]),
                examples=tuple(examples)[:_MAX_EXAMPLES],
            )
        )
    return tuple(found)


def _calibration(model: Predictions, is_right: npt.NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    bins = np.clip((model.probability * _BINS).astype(int), 0, _BINS - 1)
    return tuple(
        CalibrationBin(
            probability=float(model.probability[chosen].mean()),
            accuracy=float(is_right[chosen].mean()),
            rows=int(np.count_nonzero(chosen)),
        )
        for chosen in (bins == number for number in range(_BINS))
        if chosen.any()
    )
