"""The result of one monitoring run, the same on every platform."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel

# The note of a feature on a day without rows, such as a weekend: nothing to compare, no fault.
NO_BOOKINGS = "no bookings on this day"
# How the note of a feature begins that has no distance on any day: its baseline is empty.
NO_BASELINE = "no value in the baseline"


def comparison(distance: float, threshold: float, digits: int = 4) -> str:
    """Write a distance beside its threshold, for example `0.5200 > 0.3` or `0.0024 <= 0.3`.

    A distance above the threshold gets more decimal places where it would otherwise look allowed.
    """
    if distance <= threshold:
        return f"{distance:.{digits}f} <= {threshold:g}"
    while digits < 15 and round(distance, digits) <= threshold:
        digits += 1
    return f"{distance:.{digits}f} > {threshold:g}"


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


class FeatureDrift(BaseModel, extra="forbid", frozen=True):
    """What a monitoring run found of one feature.

    The metric is `l_infinity` or `jensen_shannon_divergence`. The distance, in [0, 1], is None
    where one of the datasets has no present value; the note says why. The contributors are the
    values whose share changed most, the greatest change first.
    """

    feature: str
    metric: str
    distance: Distance | None
    threshold: float
    contributors: tuple[Contributor, ...] = ()
    note: str = ""

    @property
    def drifted(self) -> bool:
        """Whether the distance is above the threshold."""
        return self.distance is not None and self.distance > self.threshold

    @property
    def verdict(self) -> str:
        """`drift`, `ok`, `no bookings` of an empty day, or `no data` without another distance."""
        if self.distance is None:
            return "no bookings" if self.note == NO_BOOKINGS else "no data"
        return "drift" if self.drifted else "ok"

    def summary(self) -> str:
        """Say what was found, for example `description 0.5200 > 0.3`."""
        if self.distance is None:
            return f"{self.feature} {self.verdict}"
        return f"{self.feature} {comparison(self.distance, self.threshold)}"


class MonitoringResult(BaseModel, extra="forbid", frozen=True):
    """What one monitoring run found.

    The day is the last (UTC) of the target dataset; the window's start is None where it is not
    known, its end (exclusive) where it is the whole day. The features are in the order of the
    configuration. Rows are None where the platform does not say them. For people are the alerts
    that the platform itself raised, and the method: who computed the distances and how.
    """

    job_name: str
    day: date
    baseline_name: str
    baseline_rows: int | None
    target_rows: int | None
    features: tuple[FeatureDrift, ...]
    alerts: tuple[str, ...] = ()
    method: str = ""
    window_start: AwareDatetime | None = None
    window_end: AwareDatetime | None = None

    @property
    def window(self) -> tuple[datetime | None, datetime]:
        """Start, where it is known, and end (exclusive) of the target dataset's window, UTC."""
        if self.window_end is not None:
            return self.window_start, self.window_end.astimezone(UTC)
        start = datetime.combine(self.day, time(), tzinfo=UTC)
        return start, start + timedelta(days=1)

    @property
    def drifted(self) -> tuple[FeatureDrift, ...]:
        """The features above their threshold."""
        return tuple(feature for feature in self.features if feature.drifted)

    @property
    def verdict(self) -> str:
        """`no drift`, `no bookings on this day`, or `drift in` and the features that drifted."""
        if self.target_rows == 0:
            return NO_BOOKINGS
        names = ", ".join(feature.feature for feature in self.drifted)
        return f"drift in {names}" if names else "no drift"
