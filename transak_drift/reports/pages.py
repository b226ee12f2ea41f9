"""The pages for people, each one HTML file that needs nothing beside it.

Every text is escaped, and each page's Content-Security-Policy allows neither scripts nor requests.
A page is light or dark as the reader's system, for narrow and wide screens, with its pictures
inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from transak_drift.drift.data_quality import QualityVerdict
from transak_drift.drift.drift_history import DriftHistory, RecordedWindow
from transak_drift.drift.monitoring_result import NO_MODEL, MonitoringResult
from transak_drift.reports.charts import Chart, feature_chart, history_chart, templates
from transak_drift.reports.model_charts import calibration_chart, matrix_chart
from transak_drift.reports.sanitize import sanitize_line
from transak_drift.training.model_history import RecordedVersion
from transak_drift.training.promotion import MAX_CLASSES, Comparison, SetComparison

MAX_WINDOWS = 90
MAX_EPISODES = 12

# What precedes a window's key in a table.
_UNITS = {"day": "day", "week": "week of", "month": "month"}
_METRIC_NAMES = {
    "l_infinity": "L-infinity distance",
    "jensen_shannon_divergence": "Jensen–Shannon divergence",
}


def drift_report_page(result: MonitoringResult, verdicts: Sequence[QualityVerdict] = ()) -> str:
    """Write the report of a monitoring run, and of the quality of its data.

    Its texts may hold anything.
    """
    return _render(
        "report_page.html.j2",
        result=result,
        drifted=", ".join(sanitize_line(feature.feature) for feature in result.drifted),
        without_data=[
            item
            for item in result.features
            if item.distance is None and not item.note.startswith(NO_MODEL)
        ],
        metric_names=_METRIC_NAMES,
        faults=[item for item in verdicts if not item.passed],
        charts={feature.feature: _inline(feature_chart(feature)) for feature in result.features},
    )


def drift_history_page(model_name: str, history: DriftHistory, features: Sequence[str]) -> str:
    """Write the history of a model's monitored features; its texts may hold anything.

    It links to each window's report page: by address on gcp, by the file's name on the local
    platform, where both lie in one directory.
    """
    return _render(
        "history_page.html.j2",
        model=model_name,
        features=[_history_view(history, feature) for feature in features],
        promotions=list(reversed(history.promotions))[:MAX_EPISODES],
        number_of_windows=f"{len(history.windows):,}",
        unit=_UNITS[history.windows[-1].window.length] if history.windows else "",
        windows=[_window_view(item, features) for item in reversed(history.windows[-MAX_WINDOWS:])],
    )


def model_page(
    model_name: str,
    version: str,
    comparison: Comparison | None,
    details: Mapping[str, str],
    *,
    promoted: bool,
    reasons: Sequence[str],
    champion: str | None,
) -> str:
    """Write what a version is, and how it compared with the champion; its texts may hold anything.

    The details, by name, say what it was trained on and for. The champion is the version that it
    was compared with.
    """
    return _render(
        "model_page.html.j2",
        model=model_name,
        version=version,
        promoted=promoted,
        reasons=reasons,
        champion=champion,
        details=details,
        max_classes=MAX_CLASSES,
        sets=[_set_view(found) for found in comparison.sets] if comparison else [],
    )


def model_history_page(model_name: str, versions: Sequence[RecordedVersion], at_most: int) -> str:
    """Write the history of a model's versions, newest first; its texts may hold anything.

    Of `at_most` versions it says that there may be older ones.
    """
    return _render(
        "model_history_page.html.j2",
        model=model_name,
        versions=[(item, _link(item.page)) for item in versions],
        is_cut=len(versions) >= at_most,
    )


def _link(page: str | None) -> str | None:
    """Return a link to a page that lies in the same directory, or has an address."""
    return page if page is None or page.startswith("https://") else quote(PurePath(page).name)


def _set_view(found: SetComparison) -> dict[str, Any]:
    former = found.champion.scores.metrics() if found.champion else {}
    models = [("Challenger", found.challenger)]
    if found.champion is not None:
        models.append(("Champion", found.champion))
    return {
        "found": found,
        "scores": [
            (name, value, former.get(name))
            for name, value in found.challenger.scores.metrics().items()
            if name != "held-out rows"
        ],
        "models": [
            (title, _inline(matrix_chart(model, found)), model.confusions)
            for title, model in models
        ],
        "calibration": _inline(calibration_chart(found)),
    }


def _render(template: str, **values: Any) -> str:
    return templates().get_template(template).render(**values)


def _inline(chart: Chart | None) -> Markup | None:
    return chart.inline() if chart else None


def _history_view(history: DriftHistory, feature: str) -> dict[str, Any]:
    episodes = history.episodes(feature)
    return {
        "name": feature,
        "summary": history.summary(feature),
        "ongoing": bool(episodes) and episodes[-1].ongoing,
        "episodes": list(reversed(episodes))[:MAX_EPISODES],
        "chart": _inline(history_chart(history, feature)),
    }


def _window_view(recorded: RecordedWindow, features: Sequence[str]) -> dict[str, Any]:
    cells = []
    for found in map(recorded.feature, features):
        if found is None or found.distance is None:
            cells.append(("absent", "–", ""))
        else:
            chance = "" if found.by_chance is None else f"chance {found.by_chance:.4f}"
            note = found.verdict if found.dismissed else chance
            kind = "drift" if found.drifted else "ok"
            cells.append((kind, f"{found.distance:.4f}", note))
    return {"window": recorded.window.key, "cells": cells, "page": _link(recorded.page)}
