"""The pages for people, each one HTML file that needs nothing beside it.

Every text is escaped, and each page's Content-Security-Policy allows neither scripts nor requests.
A page is light or dark as the reader's system, for narrow and wide screens, with its pictures
inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from transak_drift.drift.drift_history import DriftHistory, RecordedDay
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.reports.charts import feature_chart, history_chart, templates
from transak_drift.reports.sanitize import sanitize_line

MAX_DAYS = 90
MAX_EPISODES = 12

_METRIC_NAMES = {
    "l_infinity": "categorical: L-infinity distance",
    "jensen_shannon_divergence": "numerical: Jensen–Shannon divergence",
}


def drift_report_page(result: MonitoringResult) -> str:
    """Write the report of a monitoring run; its texts may hold anything."""
    return (
        templates()
        .get_template("report_page.html.j2")
        .render(
            result=result,
            drifted=", ".join(sanitize_line(feature.feature) for feature in result.drifted),
            without_data=[item for item in result.features if item.distance is None],
            features=[_result_view(feature) for feature in result.features],
        )
    )


def drift_history_page(model_name: str, history: DriftHistory, features: Sequence[str]) -> str:
    """Write the history of a model's monitored features; its texts may hold anything.

    It links to each day's report page: by address on gcp, by the file's name on the local platform,
    where both lie in one directory.
    """
    return (
        templates()
        .get_template("history_page.html.j2")
        .render(
            model=model_name,
            features=[_history_view(history, feature) for feature in features],
            promotions=list(reversed(history.promotions))[:MAX_EPISODES],
            number_of_days=f"{len(history.days):,}",
            days=[_day_view(day, features) for day in reversed(history.days[-MAX_DAYS:])],
        )
    )


def _result_view(feature: FeatureDrift) -> dict[str, Any]:
    chart = feature_chart(feature)
    return {
        "name": feature.feature,
        "metric": _METRIC_NAMES.get(feature.metric, feature.metric),
        "distance": "–" if feature.distance is None else f"{feature.distance:.4f}",
        "threshold": f"{feature.threshold:g}",
        "verdict": feature.verdict,
        "note": feature.note,
        "contributors": feature.contributors,
        "chart": chart and chart.inline(),
    }


def _history_view(history: DriftHistory, feature: str) -> dict[str, Any]:
    episodes = history.episodes(feature)
    chart = history_chart(history, feature)
    return {
        "name": feature,
        "summary": history.summary(feature),
        "ongoing": bool(episodes) and episodes[-1].ongoing,
        "episodes": list(reversed(episodes))[:MAX_EPISODES],
        "chart": chart and chart.inline(),
    }


def _day_view(day: RecordedDay, features: Sequence[str]) -> dict[str, Any]:
    cells = []
    for found in map(day.feature, features):
        if found is None or found.distance is None:
            cells.append(("absent", "–"))
        else:
            cells.append(("drift" if found.drifted else "ok", f"{found.distance:.4f}"))
    return {"day": day.day, "cells": cells, "page": _link(day.page)}


def _link(page: str | None) -> str | None:
    if page is None or page.startswith("https://"):
        return page
    return quote(PurePath(page).name)
