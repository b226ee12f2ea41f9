"""The pictures of drift, as SVG: the same one in a page and in Dagster's metadata.

Text stays text, so that the reader's browser has the fonts for every script. Colors are classes:
a page gives them for light and dark, a picture of its own brings them along.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from transak_drift.config.monitoring_window import WindowCalendar
from transak_drift.drift.drift_history import DriftHistory
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult, comparison
from transak_drift.reports.sanitize import sanitize_line

WIDTH = 440
_MARGIN = 6
_TITLE_HEIGHT = 26
_HISTORY_HEIGHT = 200
_MAX_DATE_LABELS = 5


@dataclass(frozen=True, slots=True)
class Chart:
    """SVG shapes of `WIDTH`, and what they show, for those who cannot see it."""

    description: str
    height: int
    shapes: Markup

    def inline(self) -> Markup:
        """Return the SVG for a page that has the style of charts and its colors."""
        label = sanitize_line(self.description)
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, self.height, label, self.shapes
        )


def feature_chart(feature: FeatureDrift) -> Chart | None:
    """Draw a feature's distance against its threshold, and the values that changed most."""
    distance = feature.distance
    if distance is None:
        return None
    width = WIDTH - 2 * _MARGIN
    shares = [max(item.baseline_share, item.target_share) for item in feature.contributors]
    shapes = _macros().feature(
        feature,
        comparison=comparison(distance, feature.threshold),
        kind="drifted" if feature.drifted else "now",
        distance_scale=width / max(min(1.0, 1.25 * max(distance, feature.threshold)), 1e-9),
        # Beside the longest bar there is space for its percentage.
        share_scale=(width - 48) / max([1e-9, *shares]),
    )
    description = f"Distance and threshold of {feature.feature}, and the shares in the table"
    return Chart(description, 70 + 48 * len(shares) if shares else 60, shapes)


def history_chart(history: DriftHistory, feature: str) -> Chart | None:
    """Draw the distances of a feature over the windows, its threshold, and each new baseline."""
    found = [item for item in history.distances(feature) if item.distance is not None]
    if not found:
        return None
    windows = WindowCalendar(found[0].window.length).between(found[0].window, found[-1].window)
    first, last = windows[0].first_day, windows[-1].first_day
    is_by_month = windows[0].length == "month"
    # Beside the last window there is space for its label.
    left, right, top, bottom = 40, WIDTH - (22 if is_by_month else 14), 8, _HISTORY_HEIGHT - 24
    greatest = max(max(item.distance or 0.0, item.threshold) for item in found)
    limit = min(1.0, 1.2 * greatest) or 1.0
    span = max((last - first).days, 1)
    date_step = max(1, -(-(len(windows) - 1) // (_MAX_DATE_LABELS - 1)))
    tick = next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if limit / step <= 6), 0.25)

    def x(day: date) -> float:
        return round(left + 8 + (right - left - 16) * (day - first).days / span, 1)

    def y(distance: float) -> float:
        return round(bottom - (bottom - top) * min(distance, limit) / limit, 1)

    promotions = [promotion.day for promotion in history.promotions]
    end = found[-1].window.last_day + timedelta(days=1)
    shapes = _macros().history(
        found,
        ticks=[round(tick * number, 6) for number in range(int(limit / tick + 1e-9) + 1)],
        dates=[window.first_day for window in windows[::date_step]],
        is_by_month=is_by_month,
        promotions=[day for day in promotions if first <= day <= end],
        x=x,
        y=y,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
    )
    description = f"Distance of {feature} over time, with its threshold"
    return Chart(description, _HISTORY_HEIGHT, shapes)


def result_picture(result: MonitoringResult) -> str:
    """Draw all features of a monitoring result in one picture, in Markdown for Dagster's UI."""
    return markdown_picture(
        "Distance of each feature and its top contributors",
        {f"{item.feature}: {item.verdict}": feature_chart(item) for item in result.features},
    )


def history_picture(history: DriftHistory, features: Sequence[str]) -> str:
    """Draw the history of all features in one picture, in Markdown for Dagster's UI."""
    charts = {feature: history_chart(history, feature) for feature in features}
    picture = markdown_picture("Distance of each feature over time", charts)
    explained = f"{picture}\n\nThe line is the threshold; dotted: a new baseline."
    return explained if any(charts.values()) else picture


def markdown_picture(description: str, charts: Mapping[str, Chart | None]) -> str:
    """Put charts below each other, with their titles, in Markdown for Dagster's UI."""
    placed, height = [], 0
    for title, chart in charts.items():
        if chart is not None:
            placed.append((height, title, chart))
            height += _TITLE_HEIGHT + chart.height + 8
    if not placed:
        return "no data"
    svg = _macros().picture(placed, width=WIDTH, height=height)
    encoded = base64.b64encode(svg.strip().encode()).decode()
    return f"![{description}](data:image/svg+xml;base64,{encoded})"


def _sanitize(text: str) -> str:
    return sanitize_line(text) or "(empty)"


def _label(text: str, columns: int) -> str:
    # Signs of East Asian scripts take the space of two; the page's table has the whole value.
    shown, width = "", 0
    for sign in _sanitize(text):
        width += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if width > columns:
            return shown + "…"
        shown += sign
    return shown


@cache
def templates() -> Environment:
    """Return the templates of pages and charts."""
    environment = Environment(
        loader=PackageLoader("transak_drift", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sanitize": _sanitize, "label": _label}
    return environment


@cache
def _macros() -> Any:
    return templates().get_template("charts.svg.j2").module
