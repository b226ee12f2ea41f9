"""Which runs no worker carries any longer: those whose heartbeat stands still."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

HEARTBEATS_MISSED = 9
# After a pause of the whole machine the watch looks again before the runs have beaten again.
MIN_SIGHTINGS = 4


class Sighting(BaseModel):
    """A heartbeat as it was last seen.

    Args:
        heartbeat: its text, which differs from beat to beat.
        since: when it was first seen, by the watch's own clock: the workers' are not relied upon.
        sightings: in how many looks it was the same.
    """

    model_config = ConfigDict(frozen=True)

    heartbeat: str
    since: datetime
    sightings: int = 1


class RunHealth(BaseModel):
    """The runs that are watched; serialised as a sensor's cursor.

    Args:
        sightings: by run id.
    """

    model_config = ConfigDict(frozen=True)

    sightings: dict[str, Sighting] = Field(default_factory=dict)

    def after_look(
        self, heartbeats: Mapping[str, str], now: datetime, heartbeat_seconds: float
    ) -> tuple[RunHealth, list[str]]:
        """Compare with what was seen before.

        Args:
            heartbeats: newest heartbeat by run id, of the runs that are said to be running.
            now: UTC.
            heartbeat_seconds: seconds between two beats of a run.

        Returns:
            What is watched on, and the runs that no worker carries.
        """
        silence = timedelta(seconds=HEARTBEATS_MISSED * heartbeat_seconds)
        sightings, dead = {}, []
        for run_id, heartbeat in heartbeats.items():
            seen = self.sightings.get(run_id)
            if seen is None or seen.heartbeat != heartbeat:
                sightings[run_id] = Sighting(heartbeat=heartbeat, since=now)
                continue
            # A clock that was set back starts the silence again.
            since, count = min(seen.since, now), seen.sightings + 1
            sightings[run_id] = Sighting(heartbeat=heartbeat, since=since, sightings=count)
            if now - since >= silence and count >= MIN_SIGHTINGS:
                dead.append(run_id)
        return RunHealth(sightings=sightings), dead

    @classmethod
    def from_cursor(cls, cursor: str | None) -> RunHealth:
        """Read the state back; an unreadable cursor starts the watch again."""
        try:
            return cls.model_validate_json(cursor) if cursor else cls()
        except ValidationError:
            return cls()
