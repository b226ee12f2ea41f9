"""The operators' page leaves no reason of a dead letter without advice."""

from __future__ import annotations

import re
from pathlib import Path

from transak_drift.cloud_function.drift_message_handler import (
    NOT_SETTLED,
    UNEXPECTED_EVENT,
)
from transak_drift.trigger.message import RejectionReason

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_each_reason_of_a_dead_letter_has_its_advice() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    advised = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    function = (UNEXPECTED_EVENT, NOT_SETTLED)
    # The last two are given where Pub/Sub itself, or a stranger, published the letter.
    others = ("max_delivery_attempts", "unknown")
    expected = [*(str(reason) for reason in RejectionReason), *function, *others]
    assert sorted(advised) == sorted(expected)
