"""Does a newly trained model replace the present one?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from transak_drift.config.sections import PromotionPolicy

COMPARISON_METADATA = "comparison"
"""Name under which a pipeline tells of a comparison, as JSON, in the metadata of its metrics."""

SetName = Literal["historical", "recent"]

# Scores are means of rounded quotients: a difference this small is no difference.
ROUNDING = 1e-9
MAX_CLASSES = 100
_MAX_NAMED_CLASSES = 5
_MAX_LABEL = 60


class Evaluation(BaseModel, frozen=True):
    """Scores of a classifier on held-out rows, the log loss in nats.

    `macro_f1` is the unweighted mean over the labels that occur in those rows.
    """

    rows: int
    accuracy: float
    macro_f1: float
    log_loss: float

    def metrics(self) -> Mapping[str, float]:
        """Return what people see of it, by the metric's name."""
        return {
            "accuracy": self.accuracy,
            "macro F1": self.macro_f1,
            "log loss": self.log_loss,
            "held-out rows": float(self.rows),
        }


class Interval(BaseModel, frozen=True):
    """The 95 % bootstrap interval of a difference, challenger less champion."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:+.4f} to {self.high:+.4f}"


class ClassScores(BaseModel, frozen=True):
    """Precision, recall and F1 of one class; 0 where they are undefined."""

    precision: float
    recall: float
    f1: float


class ClassComparison(BaseModel, frozen=True):
    """One class on one set, with its rows there; without a champion it has no difference."""

    label: str
    rows: int
    challenger: ClassScores
    champion: ClassScores | None = None
    difference: Interval | None = None


class Confusion(BaseModel, frozen=True):
    """Rows of one class that were taken for another, and descriptions of a few of them."""

    label: str
    predicted: str
    rows: int
    examples: tuple[str, ...]


class CalibrationBin(BaseModel, frozen=True):
    """Rows of about one predicted probability: its mean, and the share that is right."""

    probability: float
    accuracy: float
    rows: int


class EvaluatedModel(BaseModel, frozen=True):
    """A model on one set: its scores, and what a picture of it shows.

    `matrix` has a row for each true and a column for each predicted label of `SetComparison`'s
    `matrix_labels`, and last those of all others.
    """

    scores: Evaluation
    matrix: tuple[tuple[int, ...], ...] = ()
    confusions: tuple[Confusion, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()


class SetComparison(BaseModel, frozen=True):
    """Challenger and champion on the same held-out rows; the commonest classes come first."""

    name: SetName
    challenger: EvaluatedModel
    champion: EvaluatedModel | None = None
    difference: Interval | None = None
    classes: tuple[ClassComparison, ...] = ()
    matrix_labels: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return self.challenger.scores.rows

    def summary(self) -> str:
        """Say macro F1 of both, their difference, and of how many rows."""
        text = f"macro F1 {self.challenger.scores.macro_f1:.4f}"
        if self.champion is not None:
            text += f" against the champion's {self.champion.scores.macro_f1:.4f}"
        between = f", a difference of {self.difference}" if self.difference else ""
        return f"{text} on {self.rows:,} {self.name} rows{between}"


class Comparison(BaseModel, frozen=True):
    """What decided over a challenger: both sets, the decision, and its reasons for people.

    It is kept with the version, and so has the 100 commonest classes of a set; all have decided.
    """

    sets: tuple[SetComparison, ...]
    promoted: bool
    reasons: tuple[str, ...]

    def on(self, name: SetName) -> SetComparison | None:
        return next((item for item in self.sets if item.name == name), None)


def judge_challenger(sets: Iterable[SetComparison], policy: PromotionPolicy) -> Comparison:
    """Decide over a challenger, see `decide_promotion`, and keep what decided."""
    sets = tuple(sets)
    promoted, reasons = decide_promotion(sets, policy)
    kept = (item.model_copy(update={"classes": item.classes[:MAX_CLASSES]}) for item in sets)
    return Comparison(sets=tuple(kept), promoted=promoted, reasons=reasons)


def decide_promotion(
    sets: Sequence[SetComparison], policy: PromotionPolicy
) -> tuple[bool, tuple[str, ...]]:
    """Let the challenger replace the champion unless it is worse on held-out rows of either set.

    The sets are historical rows, from windows before the drift, and recent ones, from the window
    that drifted; no version has trained on any of them. A challenger is worse on a set if its macro
    F1, or the F1 of a class, is lower by more than `maximum_loss` or `maximum_class_loss`, and not
    by chance: the whole 95 % interval of the difference lies below that. The interval is that of a
    paired bootstrap: the same rows, drawn anew, judge both. So few rows rarely block, and a set or
    class of fewer than `minimum_rows` never does.

    Returned is whether the challenger is promoted, and why, one sentence for each set, class or
    gap, those that block first. Without a champion it always is.
    """
    known = {item.name: item for item in sets if item.rows}
    if all(item.champion is None for item in sets):
        found = [item.summary() for item in known.values()] or ["there are no held-out rows"]
        return True, (f"first model: there is no champion to beat; {'; '.join(found)}",)
    blocked: list[str] = []
    passed: list[str] = []
    for name in ("recent", "historical"):
        item = known.get(name)
        if item is None:
            passed.append(f"there are no {name} rows, so that they decide nothing")
        elif item.rows < policy.minimum_rows:
            few = f"of {policy.minimum_rows} that decide (promotion.minimum_rows)"
            passed.append(f"too few {name} rows {few}: {item.summary()}")
        else:
            is_worse = _is_lower(item.difference, policy.maximum_loss)
            losing = [
                found
                for found in item.classes
                if found.rows >= policy.minimum_rows
                and _is_lower(found.difference, policy.maximum_class_loss)
            ]
            if is_worse:
                allowed = f"which is worse by more than {policy.maximum_loss:g}"
                blocked.append(f"worse on {name} rows: {item.summary()}, {allowed}")
            elif not losing:
                passed.append(f"not worse on {name} rows: {item.summary()}")
            blocked += _losses(item, losing, policy)
    return not blocked, (*blocked, *passed)


def _is_lower(difference: Interval | None, allowed: float) -> bool:
    return difference is not None and difference.high < -allowed - ROUNDING


def _losses(
    found: SetComparison, losing: Sequence[ClassComparison], policy: PromotionPolicy
) -> list[str]:
    texts = []
    for item in losing[:_MAX_NAMED_CLASSES]:
        assert item.champion is not None
        label = item.label if len(item.label) <= _MAX_LABEL else f"{item.label[:_MAX_LABEL]}…"
        texts.append(
            f"worse on {found.name} rows of the class {label!r}: F1 {item.challenger.f1:.4f} "
            f"against {item.champion.f1:.4f} on {item.rows:,} rows, a difference of "
            f"{item.difference}, which is worse by more than {policy.maximum_class_loss:g}"
        )
    if more := len(losing) - len(texts):
        texts.append(f"worse on {found.name} rows of {more} further classes")
    return texts
