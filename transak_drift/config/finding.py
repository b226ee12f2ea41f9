"""What an inspection finds of one piece that must exist and agree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FindingState(StrEnum):
    """How a piece stands."""

    OK = "ok"
    GAP = "gap"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece.

    Args:
        piece: what was looked at.
        state: how it stands; a piece that could not be looked at is unknown, and open as a gap is.
        detail: what was found.
        fix: what to do, or an empty string where nothing is.
    """

    piece: str
    state: FindingState
    detail: str
    fix: str = ""

    @property
    def is_open(self) -> bool:
        """Whether a person has to do something."""
        return self.state != FindingState.OK


def in_order(piece: str, detail: str) -> Finding:
    """Return that a piece is as it should be."""
    return Finding(piece, FindingState.OK, detail)


def gap(piece: str, detail: str, fix: str) -> Finding:
    """Return that a piece is missing or differs."""
    return Finding(piece, FindingState.GAP, detail, fix)


def unknown(piece: str, detail: str, fix: str) -> Finding:
    """Return that a piece could not be looked at."""
    return Finding(piece, FindingState.UNKNOWN, detail, fix)
