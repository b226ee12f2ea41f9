"""The versions of a model as Dagster has recorded them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["promoted", "not promoted", "brought back"]


@dataclass(frozen=True, slots=True)
class RecordedVersion:
    """A training or a rollback: what came of it, and the drift around it; texts are for people.

    `outcome` is what came of it: promoted, not promoted or brought back. The drift before is that
    of the window that was trained for, the drift after that of the next window that has a report;
    "" where there is none. The page is a path or an https address, if it is known.
    """

    version: str
    recorded: str
    trained_on: str
    trained_for: str
    outcome: Outcome
    reason: str
    drift_before: str = ""
    drift_after: str = ""
    page: str | None = None
