"""What the sensor of monitoring results must remember from one tick to the next: its cursor."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WatchedRun(_Record):
    """A monitoring run whose result is not recorded yet.

    Args:
        job_name: resource name of the monitoring job.
        since: when the run was recorded as started, UTC.
    """

    job_name: str
    since: datetime


class WatchedRuns(_Record):
    """The runs that are watched; serialised as the sensor's cursor.

    Args:
        seen: storage id of the newest start that was read from Dagster's storage.
        waiting: by day, that which was looked at longest ago first.
    """

    seen: int = Field(default=0, ge=0)
    waiting: dict[str, WatchedRun] = Field(default_factory=dict)

    def with_started(self, seen: int, runs: Iterable[tuple[str, WatchedRun]]) -> WatchedRuns:
        """Add runs that were started; a day's newer run takes the place of the older.

        Args:
            seen: storage id of the newest start.
            runs: day and run, in the order of their start.

        Returns:
            The runs to watch.
        """
        waiting = dict(self.waiting)
        for day, run in runs:
            waiting[day] = run
        return WatchedRuns(seen=max(self.seen, seen), waiting=waiting)

    def after(self, looked_at: Iterable[str], done: Iterable[str]) -> WatchedRuns:
        """Return what is left after a tick.

        Args:
            looked_at: days whose run was looked at; they move to the end.
            done: days whose result is recorded; they are watched no longer.

        Returns:
            The runs that are watched on.
        """
        finished, looked = set(done), [day for day in looked_at if day in self.waiting]
        order = [*(day for day in self.waiting if day not in set(looked)), *looked]
        waiting = {day: self.waiting[day] for day in order if day not in finished}
        return WatchedRuns(seen=self.seen, waiting=waiting)

    def to_cursor(self) -> str:
        """Return the state as text."""
        return self.model_dump_json()

    @classmethod
    def from_cursor(cls, cursor: str | None) -> WatchedRuns:
        """Read the state back.

        Args:
            cursor: text of `to_cursor`, or None before the first tick.

        Returns:
            The state. An unreadable cursor begins anew: every start is in Dagster's storage, and
            so is every result that was recorded.
        """
        try:
            return cls.model_validate_json(cursor) if cursor else cls()
        except ValidationError:
            return cls()
