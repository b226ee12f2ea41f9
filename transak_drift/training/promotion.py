"""Does a newly trained model replace the present one?"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Scores are means of rounded quotients: a difference this small is no difference.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """Whether the challenger becomes the champion.

    Args:
        promote: True when it does.
        reason: a sentence for people, with the scores that decided.
    """

    promote: bool
    reason: str


def decide_promotion(
    challenger_macro_f1: float, champion_macro_f1: float | None, *, tolerance: float = 0.0
) -> PromotionDecision:
    """Let the challenger replace the champion only if it is not worse on held-out recent data.

    Args:
        challenger_macro_f1: the new model's macro-averaged F1 score on the held-out rows, in
            [0, 1].
        champion_macro_f1: the present model's score on the same rows, or None where there is no
            present model: then the challenger is always promoted.
        tolerance: by how much the challenger may be worse and still be promoted, in [0, 1].

    Returns:
        The decision with its reason.

    Raises:
        ValueError: a score or the tolerance is not a number in [0, 1].
    """
    _require_share("challenger_macro_f1", challenger_macro_f1)
    _require_share("tolerance", tolerance)
    if champion_macro_f1 is None:
        return PromotionDecision(
            True,
            f"first model (macro F1 {challenger_macro_f1:.4f}): there is no champion to beat",
        )
    _require_share("champion_macro_f1", champion_macro_f1)
    allowance = f" less the tolerance {tolerance:g}" if tolerance else ""
    scores = f"macro F1 {challenger_macro_f1:.4f} against the champion's {champion_macro_f1:.4f}"
    if challenger_macro_f1 >= champion_macro_f1 - tolerance - ROUNDING:
        return PromotionDecision(True, f"not worse on held-out recent data: {scores}{allowance}")
    return PromotionDecision(False, f"worse on held-out recent data: {scores}{allowance}")


def _require_share(name: str, value: float) -> None:
    if math.isnan(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} = {value!r}: is not in [0, 1]; fix: give a share between 0 and 1")
