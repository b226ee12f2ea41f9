"""Monitoring results and their history, for the tests of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from transak_drift.drift.drift_history import DriftHistory, Promotion, RecordedDay
from transak_drift.drift.monitoring_result import Contributor, FeatureDrift, MonitoringResult

JOB_NAME = (
    "projects/af-finanzen/locations/europe-west6/modelMonitors/transak-i1-drift"
    "/modelMonitoringJobs/20260304-baseline-v1"
)
HOSTILE = '<script>document.title="stolen"</script><img src="https://example.com/x" onerror="x()">'
LONG = "ZAHLUNG-KARTE-" * 20


def result_of(
    *features: FeatureDrift,
    baseline_name: str = "training data of model v1",
    alerts: tuple[str, ...] = (),
    day: date = date(2026, 3, 4),
) -> MonitoringResult:
    """Return a result with these features."""
    return MonitoringResult(
        job_name=JOB_NAME,
        day=day,
        baseline_name=baseline_name,
        baseline_rows=140_000,
        target_rows=5_000,
        features=features,
        alerts=alerts,
        method="exact, from every row",
    )


def description(*values: str, distance: float | None = 0.31) -> FeatureDrift:
    """Return the feature `description` with these values as contributors."""
    return FeatureDrift(
        feature="description",
        metric="l_infinity",
        distance=distance,
        threshold=0.3,
        contributors=tuple(
            Contributor(value=value, baseline_share=0.02 * number, target_share=0.31 / number)
            for number, value in enumerate(values, 1)
        ),
    )


TYPE = FeatureDrift(
    feature="type",
    metric="l_infinity",
    distance=0.04,
    threshold=0.3,
    contributors=(
        Contributor(value="card payment", baseline_share=0.42, target_share=0.46),
        Contributor(value="transfer", baseline_share=0.3, target_share=0.28),
    ),
)
AMOUNT = FeatureDrift(
    feature="amount",
    metric="jensen_shannon_divergence",
    distance=None,
    threshold=0.2,
    note="the day has no present value of amount",
)
DRIFTED = result_of(
    description(
        "TWINT*NEW MERCHANT ZÜRICH", "MIGROS BASEL", HOSTILE, LONG, "", "価格$x$ 東京店 10%"
    ),
    TYPE,
    AMOUNT,
    alerts=(f"above the threshold: {HOSTILE}",),
)
QUIET = result_of(TYPE)
FIRST = date(2026, 3, 1)


def history_of(
    distances: Mapping[str, list[float | None]], page: str | None = None
) -> DriftHistory:
    """Return one day after the other, with a threshold of 0.3 and one promotion."""
    length = max(len(values) for values in distances.values())
    days = [FIRST + timedelta(days=number) for number in range(length)]
    found = [
        [
            FeatureDrift(
                feature=feature, metric="l_infinity", distance=values[number], threshold=0.3
            )
            for feature, values in distances.items()
        ]
        for number in range(length)
    ]
    return DriftHistory(
        days=[
            RecordedDay(result_of(*features, day=day), page)
            for features, day in zip(found, days, strict=True)
        ],
        promotions=[Promotion(days[-1], "v2")],
        read_until=7,
    )


FEATURES = ("description", HOSTILE)
HISTORY = history_of(
    {
        "description": [0.05, 0.04, 0.4, 0.5, None, 0.45, 0.06, 0.05] * 5 + [0.52, 0.6],
        HOSTILE: [None] * 20 + [0.1] * 22,
    },
    page="/state/monitoring_jobs/20260304-baseline-v1.html",
)
