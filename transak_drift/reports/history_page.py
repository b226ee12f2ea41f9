"""The drift history of a model as one HTML file, in the style of the report page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from transak_drift.drift.drift_history import DriftHistory, RecordedDay
from transak_drift.reports.history_charts import history_chart
from transak_drift.reports.page_template import page_template
from transak_drift.reports.report_charts import LIGHT, chart_uris

MAX_DAYS = 90
MAX_EPISODES = 12


def drift_history_page(model_name: str, history: DriftHistory, features: Sequence[str]) -> str:
    """Write the history of a model for people.

    Args:
        model_name: the monitored model.
        history: what is recorded. Its texts are escaped, and the page's Content-Security-Policy
            allows neither scripts nor requests.
        features: the monitored features.

    Returns:
        One HTML document with its pictures inside. It links to each day's report page: by address
        on gcp, by the file's name on the local platform, where both lie in one directory.
    """
    return page_template("history_page.html.j2").render(
        model=model_name,
        features=[_feature_view(history, feature) for feature in features],
        promotions=list(reversed(history.promotions))[:MAX_EPISODES],
        number_of_days=f"{len(history.days):,}",
        days=[_day_view(day, features) for day in reversed(history.days[-MAX_DAYS:])],
    )


def _feature_view(history: DriftHistory, feature: str) -> dict[str, Any]:
    episodes = history.episodes(feature)
    light = dark = None
    if any(day.distance is not None for day in history.distances(feature)):
        light, dark = chart_uris(history_chart(history, feature, LIGHT))
    return {
        "name": feature,
        "summary": history.summary(feature),
        "ongoing": bool(episodes) and episodes[-1].ongoing,
        "episodes": list(reversed(episodes))[:MAX_EPISODES],
        "light_chart": light,
        "dark_chart": dark,
    }


def _day_view(day: RecordedDay, features: Sequence[str]) -> dict[str, Any]:
    cells = []
    for feature in features:
        found = day.feature(feature)
        if found is None or found.distance is None:
            cells.append({"kind": "absent", "text": "–"})
        else:
            kind = "drift" if found.drifted else "ok"
            cells.append({"kind": kind, "text": f"{found.distance:.4f}"})
    return {"day": day.day, "cells": cells, "page": _link(day.page)}


def _link(page: str | None) -> str | None:
    if page is None or page.startswith("https://"):
        return page
    return quote(PurePath(page).name)
