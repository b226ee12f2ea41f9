"""The promotion rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transak_drift.training.promotion import decide_promotion

scores = st.floats(min_value=0.0, max_value=1.0)


@given(score=scores)
def test_the_first_model_and_an_equal_one_are_promoted(score: float) -> None:
    first = decide_promotion(score, None)
    assert first.promote
    assert "first model" in first.reason
    assert decide_promotion(score, score).promote


@given(challenger=scores, champion=scores)
def test_of_two_models_the_better_one_stays(challenger: float, champion: float) -> None:
    forth = decide_promotion(challenger, champion).promote
    back = decide_promotion(champion, challenger).promote
    assert forth or back
    if abs(challenger - champion) > 1e-8:
        assert forth is (challenger > champion)


def test_rounding_does_not_refuse_an_equal_model() -> None:
    assert decide_promotion(0.1 + 0.2, 0.3).promote
    assert decide_promotion(0.3, 0.1 + 0.2).promote


def test_the_reason_names_both_scores() -> None:
    assert decide_promotion(0.9, 0.8).reason == (
        "not worse on held-out recent data: macro F1 0.9000 against the champion's 0.8000"
    )
    assert decide_promotion(0.7, 0.8).reason == (
        "worse on held-out recent data: macro F1 0.7000 against the champion's 0.8000"
    )
