"""The operators' page leaves no reason of a dead letter without advice."""

from __future__ import annotations

import re
from pathlib import Path

from transak_drift.trigger.message import RejectionReason

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_each_reason_of_a_dead_letter_has_its_advice() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    advised = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    # The last one is given by Pub/Sub itself.
    expected = [*(str(reason) for reason in RejectionReason), "max_delivery_attempts"]
    assert sorted(advised) == sorted(expected)
