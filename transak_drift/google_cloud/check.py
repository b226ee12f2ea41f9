"""What an inspection finds of one thing that must exist and agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from transak_drift.platform import PlatformError


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and found, what to do, and the log entry that was found, if any.

    What could not be looked at is unknown, and open as if missing.
    """

    name: str
    state: Literal["ok", "missing", "unknown"]
    detail: str
    fix: str = ""
    example: str = ""

    @property
    def is_open(self) -> bool:
        return self.state != "ok"


def passed(name: str, detail: str, example: str = "") -> Check:
    return Check(name, "ok", detail, example=example)


def missing(name: str, detail: str, fix: str, example: str = "") -> Check:
    return Check(name, "missing", detail, fix, example)


def unknown(name: str, detail: str, fix: str) -> Check:
    return Check(name, "unknown", detail, fix)


def answered(name: str, fix: str, check: Callable[[], Check]) -> Check:
    """Run a check; where the platform does not answer, it is unknown."""
    try:
        return check()
    except PlatformError as error:
        return unknown(name, str(error), fix)
