"""The promotion rule."""

from __future__ import annotations

import pytest

from transak_drift.training.promotion import decide_promotion


@pytest.mark.parametrize(
    ("challenger", "champion", "promote", "reason"),
    [
        (0.0, None, True, "first model (macro F1 0.0000): there is no champion to beat"),
        (0.9, 0.8, True, "not worse on held-out recent data: macro F1 0.9000 against the"),
        (0.7, 0.7, True, "not worse"),
        (0.1 + 0.2, 0.3, True, "not worse"),
        (0.3, 0.1 + 0.2, True, "not worse"),
        (0.7, 0.7001, False, "worse on held-out recent data: macro F1 0.7000 against the"),
        (0.7, 0.8, False, "worse"),
    ],
)
def test_a_challenger_is_promoted_if_it_is_not_worse(
    challenger: float, champion: float | None, promote: bool, reason: str
) -> None:
    promoted, told = decide_promotion(challenger, champion)
    assert promoted is promote
    assert told.startswith(reason)
