"""The section of a configuration that says when drift may start a training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from transak_drift.config.sections import PositiveCount, Section

Objective = Literal["feature", "prediction"]


class RetrainPolicy(Section):
    """When a drift event that is real may start a training."""

    cooldown_minutes: Annotated[int, Field(ge=0, le=525_600, strict=True)] = 0
    """Minutes after a training's start in which a further drift event is held."""

    maximum_trainings_in_flight: Annotated[PositiveCount, Field(le=1_000)] = 1
    """Trainings that may be queued or running at once; further events are held."""

    maximum_trainings_per_drift: Annotated[PositiveCount, Field(le=50)] = 3
    """Trainings that may answer the same drift: that of the same features, until a window is
    without it. Where it still stands, further events are escalated to a person."""

    minimum_anomalous_features: PositiveCount = 1
    """Features of one monitoring job that must drift before it trains. Of predictions that may
    train, their column counts as one."""

    objectives: tuple[Objective, ...] = Field(default=("feature",), min_length=1)
    """Whose drift may train: feature, prediction (see prediction_drift), or both."""

    minimum_target_rows: PositiveCount = 20
    """Rows that a window must have for a distance above its threshold to count as drift: of fewer,
    about every tenth window is far from the baseline though nothing has changed."""

    beyond_chance: Annotated[bool, Field(strict=True)] = True
    """Count a distance as drift only if it is also beyond what 5 % of windows of as many rows,
    drawn from the baseline itself, exceed by chance."""

    approval: Literal["automatic", "manual"] = "automatic"
    """With manual a drift event trains only once a person has approved it, by
    `transak-drift approve` or the job decide_drift_event."""

    approval_reminder_days: Annotated[PositiveCount, Field(le=365)] | None = 3
    """Days after which people are reminded of drift events that await approval, again and again;
    null reminds nobody."""
