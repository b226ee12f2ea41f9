"""The return to an earlier version of a model, as it is recorded."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel


class Rollback(BaseModel, frozen=True):
    """Who returned to which version of a model, when (UTC) and why.

    `undone_until` is the end (exclusive) of the data that the version learned from which predicted
    before, `trained_until` that of the version which predicts from then on.
    """

    champion_before: str
    champion_after: str
    by: str
    at: AwareDatetime
    reason: str
    undone_until: AwareDatetime
    trained_until: AwareDatetime

    def summary(self) -> str:
        """Say who did what and why, for people."""
        return (
            f"rolled back by {self.by} on {self.at:%Y-%m-%d %H:%M} UTC from version "
            f"{self.champion_before} to version {self.champion_after}: {self.reason}"
        )
