"""Monitoring jobs whose end is awaited: what the polling of results remembers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from transak_drift.drift.drift_event import drift_event_key
from transak_drift.drift.monitoring_job import ListedJob
from transak_drift.trigger.inbox import Inbox

# A listing may lag behind the creation of a job.
LISTING_OVERLAP = timedelta(hours=1)


class PendingJobs(BaseModel):
    """The cursor of the sensor of monitoring results.

    Args:
        listed_at: when the jobs were listed, UTC, or None before the first listing.
        pending: by `<monitor id>/<job id>`, when each awaited job was created, UTC; the one that
            was looked at longest ago first.
        finished: by the same key, jobs of the last hour of listings that are dealt with.
        inbox: the trigger's records, so that drift which is known is not recorded again.
    """

    model_config = ConfigDict(extra="forbid")

    listed_at: AwareDatetime | None = None
    pending: dict[str, AwareDatetime] = Field(default_factory=dict)
    finished: dict[str, AwareDatetime] = Field(default_factory=dict)
    inbox: Inbox = Field(default_factory=Inbox)

    @classmethod
    def read(cls, text: str | None) -> PendingJobs:
        """Read a cursor; anything else begins with a listing."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError:
            return cls()

    def listing_start(self, now: datetime, look_back: timedelta) -> datetime:
        """The time from which jobs are listed; before the first listing, so far back."""
        return now - look_back if self.listed_at is None else self.listed_at - LISTING_OVERLAP

    def add_listing(self, jobs: Iterable[ListedJob], now: datetime) -> None:
        """Await the listed jobs, oldest first, that are new."""
        for job in jobs:
            key = drift_event_key(job.model_monitor_id, job.monitoring_job_id)
            if key not in self.finished:
                self.pending.setdefault(key, job.created)
        self.listed_at = now
        # What was created before the next listing's start is not listed again.
        kept = now - 2 * LISTING_OVERLAP
        self.finished = {key: made for key, made in self.finished.items() if made >= kept}

    def look_later(self, key: str) -> None:
        """Put a job that has not ended behind the others."""
        self.pending[key] = self.pending.pop(key)

    def finish(self, key: str) -> None:
        """Await a job no longer."""
        self.finished[key] = self.pending.pop(key)
