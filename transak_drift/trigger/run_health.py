"""Which runs no worker carries any longer: those whose heartbeat stands still."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

HEARTBEATS_MISSED = 9
# After a pause of the whole machine the watch looks again before the runs have beaten again.
MIN_SIGHTINGS = 4


class Sighting(BaseModel):
    """A heartbeat's text, which differs from beat to beat, and in how many looks it was the same.

    It was first seen `since`, by the watch's own clock: the workers' are not relied upon.
    """

    model_config = ConfigDict(frozen=True)

    heartbeat: str
    since: datetime
    sightings: int = 1


class RunHealth(BaseModel):
    """The runs that are watched, by run id; serialised as a sensor's cursor."""

    model_config = ConfigDict(frozen=True)

    sightings: dict[str, Sighting] = Field(default_factory=dict)

    def after_look(
        self, heartbeats: Mapping[str, str], now: datetime, heartbeat_seconds: float
    ) -> tuple[RunHealth, list[str]]:
        """Compare the newest heartbeats, of runs said to be running, with what was seen before.

        Returns what is watched on, and the runs that no worker carries.
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
