"""The result of one monitoring run, the same on every platform."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, model_validator

from transak_drift.config.monitoring_config import MonitoringConfig, Objective, RetrainPolicy
from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.drift.data_quality import FeatureQuality

# The note of a feature in a window without rows, such as a Sunday: nothing to compare, no fault.
NO_BOOKINGS = "no bookings in this window"
# How the note of a feature begins that has no distance in any window: its baseline is empty.
NO_BASELINE = "no value in the baseline"
# How the note of a prediction begins that has no distance while there is no model.
NO_MODEL = "no model predicts"
_ROUNDING = 1e-9


def comparison(distance: float, threshold: float, digits: int = 4) -> str:
    """Write a distance beside its threshold, for example `0.5200 > 0.3` or `0.0024 <= 0.3`.

    A distance above the threshold gets more decimal places where it would otherwise look allowed.
    """
    if distance <= threshold:
        return f"{distance:.{digits}f} <= {threshold:g}"
    while digits < 15 and round(distance, digits) <= threshold:
        digits += 1
    return f"{distance:.{digits}f} > {threshold:g}"


def does_not_train(objective: Objective) -> str:
    """Say why drift of an objective alone trains nothing."""
    return f"{objective} drift alone does not train: retrain_policy.objectives"


class Contributor(BaseModel, extra="forbid", frozen=True):
    """One value of a categorical feature, or one bucket of a numerical one.

    Its shares are those of the datasets' present values, in [0, 1].
    """

    value: str
    baseline_share: float
    target_share: float

    @property
    def change(self) -> float:
        """How much the share grew, in [-1, 1]; negative where it shrank."""
        return self.target_share - self.baseline_share


def _at_most_one(distance: float) -> float:
    # TensorFlow Data Validation returns 1.0000000000000002 for disjoint distributions.
    return 1.0 if 1.0 < distance < 1.0 + 1e-9 else distance


Distance = Annotated[float, AfterValidator(_at_most_one)]


def empty_result(config: MonitoringConfig, window: Window) -> MonitoringResult:
    """Return the result of a window without rows, for which no monitoring job was started."""
    features = [
        FeatureDrift(
            feature=column,
            metric="jensen_shannon_divergence"
            if config.feature_type(column) == "numerical"
            else config.categorical_metric,
            distance=None,
            threshold=threshold,
            note=NO_BOOKINGS,
            objective=config.objective(column),
        )
        for column, threshold in config.thresholds.items()
    ]
    return MonitoringResult(
        job_name="",
        window=window,
        baseline_name="no baseline, as there is nothing to compare",
        baseline_rows=None,
        target_rows=0,
        features=tuple(features),
    )


class FeatureDrift(BaseModel, extra="forbid", frozen=True):
    """What a monitoring run found of one feature, or of the predictions of the column `feature`.

    The metric is `l_infinity` or `jensen_shannon_divergence`. The distance, in [0, 1], is None
    where one of the datasets has no present value; the note says why. The contributors are the
    values whose share changed most, the greatest change first. `by_chance` is the distance that 5 %
    of windows of as many values exceed without any change, None where the platform does not tell
    enough to compute it; `dismissed` says why a distance above the threshold is no drift.
    """

    feature: str
    metric: str
    distance: Distance | None
    threshold: float
    contributors: tuple[Contributor, ...] = ()
    note: str = ""
    by_chance: float | None = None
    dismissed: str = ""
    objective: Objective = "feature"

    @property
    def is_above_threshold(self) -> bool:
        """Whether the distance is above the threshold, by chance or not."""
        return self.distance is not None and self.distance > self.threshold

    @property
    def drifted(self) -> bool:
        """Whether the distance is above the threshold, and that is not dismissed."""
        return self.is_above_threshold and not self.dismissed

    @property
    def verdict(self) -> str:
        """`drift`, `ok`, why it was dismissed, `no bookings` of an empty window, or `no data`."""
        if self.note.startswith(NO_MODEL):
            return "no model"
        if self.distance is None:
            return "no bookings" if self.note == NO_BOOKINGS else "no data"
        if self.is_above_threshold:
            return self.dismissed.partition(":")[0] or "drift"
        return "ok"

    def summary(self) -> str:
        """Say what was found, for example `description 0.5200 > 0.3`."""
        if self.distance is None:
            return f"{self.feature} {self.verdict}"
        found = f"{self.feature} {comparison(self.distance, self.threshold)}"
        return f"{found} ({self.dismissed})" if self.dismissed else found

    def judged(self, threshold: float, rows: int | None, policy: RetrainPolicy) -> FeatureDrift:
        """Judge the distance by a threshold and a policy; rows are the window's, where known."""
        found = self.model_copy(update={"threshold": threshold, "dismissed": ""})
        if self.distance is None or self.distance <= threshold:
            return found
        needed, by_chance, reason = policy.minimum_target_rows, self.by_chance, ""
        # Rounding alone takes no distance beyond chance.
        is_by_chance = by_chance is not None and self.distance <= by_chance + _ROUNDING
        if rows is not None and rows < needed:
            reason = f"too few rows: {rows}, minimum_target_rows asks for {needed}"
        elif policy.beyond_chance and is_by_chance:
            reason = f"by chance: 5 % of unchanged windows of this size exceed {by_chance:.4f}"
        return found.model_copy(update={"dismissed": reason})


class MonitoringResult(BaseModel, extra="forbid", frozen=True):
    """What one monitoring run found.

    The window is the monitored one that the target dataset ends in, start (None where it is not
    known) and end (exclusive) are the dataset's own. The features are in the order of the
    configuration. Rows are None where the platform does not say them; usual rows are those of the
    windows before. For people are the alerts that the platform itself raised, and the method: who
    computed the distances and how.
    """

    job_name: str
    window: Window
    baseline_name: str
    baseline_rows: int | None
    target_rows: int | None
    features: tuple[FeatureDrift, ...]
    quality: tuple[FeatureQuality, ...] = ()
    usual_rows: float | None = None
    alerts: tuple[str, ...] = ()
    method: str = ""
    window_start: AwareDatetime | None = None
    window_end: AwareDatetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_day(cls, values: Any) -> Any:
        # As earlier versions recorded it, which knew days alone.
        if isinstance(values, dict) and "day" in values:
            values = dict(values)
            day = values.pop("day")
            values["window"] = {"first_day": day, "last_day": day}
        return values

    @property
    def interval(self) -> tuple[datetime | None, datetime]:
        """Start, where it is known, and end (exclusive) of the target dataset, UTC."""
        if self.window_end is not None:
            return self.window_start, self.window_end.astimezone(UTC)
        return WindowCalendar().bounds(self.window)

    def judged(
        self, policy: RetrainPolicy, thresholds: Mapping[str, float] = MappingProxyType({})
    ) -> MonitoringResult:
        """Return this by a policy, and by thresholds where they are other than found."""
        features = [
            item.judged(thresholds.get(item.feature, item.threshold), self.target_rows, policy)
            for item in self.features
        ]
        return self.model_copy(update={"features": tuple(features)})

    @property
    def drifted(self) -> tuple[FeatureDrift, ...]:
        """The features that drifted."""
        return tuple(feature for feature in self.features if feature.drifted)

    @property
    def verdict(self) -> str:
        """`no drift`, `no bookings in this window`, or `drift in` and the features that drifted."""
        if self.target_rows == 0:
            return NO_BOOKINGS
        names = ", ".join(feature.feature for feature in self.drifted)
        return f"drift in {names}" if names else "no drift"
