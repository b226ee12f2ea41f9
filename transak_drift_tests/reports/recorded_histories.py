"""Recorded drift histories for the tests of the history page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from transak_drift.drift.drift_history import DriftHistory, Promotion, RecordedDay
from transak_drift.drift.monitoring_result import FeatureDrift
from transak_drift_tests.reports.report_results import HOSTILE, result_of

FIRST = date(2026, 3, 1)


def history_of(distances: Mapping[str, list[float | None]], **fields: str) -> DriftHistory:
    """Return one day after the other, with a threshold of 0.3 and one promotion."""
    length = max(len(values) for values in distances.values())
    days = [FIRST + timedelta(days=number) for number in range(length)]
    return DriftHistory(
        days=[
            RecordedDay(
                result_of(
                    *(
                        FeatureDrift(
                            feature=feature,
                            metric="l_infinity",
                            distance=values[number],
                            threshold=0.3,
                        )
                        for feature, values in distances.items()
                        if number < len(values)
                    ),
                    day=day,
                ),
                page=fields.get("page"),
            )
            for number, day in enumerate(days)
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
