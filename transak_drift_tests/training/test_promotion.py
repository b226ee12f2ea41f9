"""The promotion rule."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.training.promotion import decide_promotion

scores = st.floats(min_value=0.0, max_value=1.0)


@given(score=scores)
def test_the_first_model_is_always_promoted(score: float) -> None:
    decision = decide_promotion(score, None)
    assert decision.promote
    assert "first model" in decision.reason


@given(score=scores, tolerance=scores)
def test_an_equal_model_is_promoted(score: float, tolerance: float) -> None:
    assert decide_promotion(score, score, tolerance=tolerance).promote


@given(challenger=scores, champion=scores)
def test_of_two_models_the_better_one_stays(challenger: float, champion: float) -> None:
    forth = decide_promotion(challenger, champion).promote
    back = decide_promotion(champion, challenger).promote
    assert forth or back
    if abs(challenger - champion) > 1e-8:
        assert forth is (challenger > champion)


@given(challenger=scores, champion=scores, tolerance=scores)
def test_a_greater_tolerance_never_refuses_what_a_smaller_one_allows(
    challenger: float, champion: float, tolerance: float
) -> None:
    if decide_promotion(challenger, champion).promote:
        assert decide_promotion(challenger, champion, tolerance=tolerance).promote


def test_a_tolerance_admits_a_slightly_worse_model() -> None:
    assert not decide_promotion(0.80, 0.82).promote
    assert decide_promotion(0.80, 0.82, tolerance=0.03).promote
    assert not decide_promotion(0.78, 0.82, tolerance=0.03).promote


def test_rounding_does_not_refuse_an_equal_model() -> None:
    assert decide_promotion(0.1 + 0.2, 0.3).promote
    assert decide_promotion(0.3, 0.1 + 0.2).promote


def test_the_reason_names_both_scores() -> None:
    assert decide_promotion(0.9, 0.8).reason == (
        "not worse on held-out recent data: macro F1 0.9000 against the champion's 0.8000"
    )
    assert decide_promotion(0.7, 0.8, tolerance=0.05).reason == (
        "worse on held-out recent data: macro F1 0.7000 against the champion's 0.8000 "
        "less the tolerance 0.05"
    )


@pytest.mark.parametrize("wrong", [math.nan, -0.01, 1.01, math.inf])
def test_values_that_are_no_shares_are_refused_by_name(wrong: float) -> None:
    with pytest.raises(ValueError, match="challenger_macro_f1"):
        decide_promotion(wrong, 0.5)
    with pytest.raises(ValueError, match="champion_macro_f1"):
        decide_promotion(0.5, wrong)
    with pytest.raises(ValueError, match="tolerance"):
        decide_promotion(0.5, 0.5, tolerance=wrong)
