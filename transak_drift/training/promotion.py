"""Does a newly trained model replace the present one?"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

# Scores are means of rounded quotients: a difference this small is no difference.
ROUNDING = 1e-9
_CHANCE = 0.05


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


def decide_promotion(
    challenger_macro_f1: float, champion_macro_f1: float | None, by_chance: float = 0.0
) -> tuple[bool, str]:
    """Let the challenger replace the champion only if it is not worse on held-out recent data.

    The scores, macro-averaged F1, are of the same rows; without a champion (None) the challenger is
    always promoted. Of few rows a lower score says little: `by_chance` is the probability of one so
    much lower for a challenger that is as good, and one above 5 % is not held against it. Returned
    is whether it is promoted, and a sentence with the scores that decided.
    """
    if champion_macro_f1 is None:
        reason = f"first model (macro F1 {challenger_macro_f1:.4f}): there is no champion to beat"
        return True, reason
    verdict, probability = "not worse", ""
    if challenger_macro_f1 < champion_macro_f1 - ROUNDING:
        verdict = "not worse beyond chance" if by_chance > _CHANCE else "worse"
        probability = f" (p = {by_chance:.3f})"
    return (
        verdict != "worse",
        f"{verdict} on held-out recent data: macro F1 {challenger_macro_f1:.4f} against the "
        f"champion's {champion_macro_f1:.4f}{probability}",
    )
