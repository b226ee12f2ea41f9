"""The pictures of drift, as SVG: the same one in a page and in Dagster's metadata.

Text stays text, so that the reader's browser has the fonts for every script. Colors are classes:
a page gives them for light and dark, a picture of its own brings them along.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup, escape

from transak_drift.drift.drift_history import DriftHistory
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult, comparison

WIDTH = 440
_MARGIN = 6
# Columns of a fixed width that the space for a label has.
_MAX_LABEL_COLUMNS = 56
_MAX_TITLE_COLUMNS = 46
_HISTORY_HEIGHT = 200
_MAX_DATE_LABELS = 5
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# The classes of the shapes; the names of the colors are those of `page_style.css.j2`.
CHART_STYLE = (
    "svg text{font:11px system-ui,sans-serif;fill:var(--text)}"
    "svg .title{font-weight:600;font-size:13px}"
    "svg .end{text-anchor:end}svg .middle{text-anchor:middle}"
    "svg .before{fill:var(--before)}svg .now{fill:var(--now)}svg .drifted{fill:var(--drifted)}"
    "svg line,svg polyline{fill:none;stroke:var(--before);stroke-width:1}"
    "svg .threshold{stroke:var(--text);stroke-width:2}"
    "svg .grid{stroke-opacity:.35}"
    "svg .promotion{stroke:var(--text);stroke-width:1.5;stroke-dasharray:2 3}"
)
_OWN_COLORS = "svg{--text:#1c2733;--before:#9aa5b1;--now:#2b6cb0;--drifted:#c53030}"


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture.

    Args:
        description: what it shows, for those who cannot see it.
        height: in CSS pixels; the width is always `WIDTH`.
        shapes: SVG elements.
    """

    description: str
    height: int
    shapes: Markup

    def inline(self) -> Markup:
        """Return the SVG for a page that has `CHART_STYLE` and its colors."""
        return Markup(
            '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{shapes}</svg>'
        ).format(
            width=WIDTH, height=self.height, label=printable(self.description), shapes=self.shapes
        )


def feature_chart(feature: FeatureDrift) -> Chart:
    """Draw the distance of a feature against its threshold, and the values that changed most.

    Args:
        feature: what a monitoring run found of it, with a distance.
    """
    distance = feature.distance or 0.0
    now = "drifted" if feature.drifted else "now"
    width = WIDTH - 2 * _MARGIN
    scale = width / max(min(1.0, 1.25 * max(distance, feature.threshold)), 1e-9)
    threshold = round(_MARGIN + min(feature.threshold * scale, width), 1)
    shapes = [
        _text(
            _MARGIN,
            14,
            f"distance {comparison(distance, feature.threshold)}; the line is the threshold",
        ),
        _rect(_MARGIN, 22, distance * scale, 14, now),
        _line(threshold, 18, threshold, 40, "threshold"),
    ]
    y = 60
    if feature.contributors:
        shapes.append(_text(_MARGIN, y, "share before (grey) and now"))
        y += 10
    largest = max((max(c.baseline_share, c.target_share) for c in feature.contributors), default=1)
    # Beside the longest bar there is space for its percentage.
    scale = (width - 48) / max(largest, 1e-9)
    for item in feature.contributors:
        shapes.append(_text(_MARGIN, y + 12, _label(item.value)))
        for share, kind, top in ((item.baseline_share, "before", 18), (item.target_share, now, 29)):
            shapes.append(_rect(_MARGIN, y + top, share * scale, 9, kind))
            shapes.append(_text(_MARGIN + share * scale + 5, y + top + 8, f"{share:.1%}"))
        y += 48
    description = f"Distance and threshold of {feature.feature}, and the shares in the table"
    return Chart(description, y, Markup("").join(shapes))


def history_chart(history: DriftHistory, feature: str) -> Chart:
    """Draw the distance of a feature over the days, its threshold, and each new baseline.

    Args:
        history: what is recorded, with at least one distance of the feature.
        feature: the feature.
    """
    days = [day for day in history.distances(feature) if day.distance is not None]
    first, last = days[0].day, days[-1].day
    left, right, top, bottom = 40, WIDTH - 14, 8, _HISTORY_HEIGHT - 24
    greatest = max(max(day.distance or 0.0, day.threshold) for day in days)
    limit = min(1.0, 1.2 * greatest) or 1.0
    span = max((last - first).days, 1)

    def x(day: date) -> float:
        return round(left + 8 + (right - left - 16) * (day - first).days / span, 1)

    def y(distance: float) -> float:
        return round(bottom - (bottom - top) * min(distance, limit) / limit, 1)

    shapes = []
    for value in _ticks(limit):
        shapes.append(_line(left, y(value), right, y(value), "grid"))
        shapes.append(_text(left - 6, y(value) + 4, f"{value:g}", "end"))
    step = max(1, -(-span // (_MAX_DATE_LABELS - 1)))
    for number in range(0, (last - first).days + 1, step):
        day = first + timedelta(days=number)
        shapes.append(_text(x(day), _HISTORY_HEIGHT - 8, f"{day:%b} {day.day}", "middle"))
    for promotion in history.promotions:
        if first <= promotion.day <= last + timedelta(days=1):
            at = min(x(promotion.day), right)
            shapes.append(_line(at, top, at, bottom, "promotion"))
    shapes.append(_polyline(((x(day.day), y(day.threshold)) for day in days), "threshold"))
    shapes.append(_polyline(((x(day.day), y(day.distance or 0.0)) for day in days), ""))
    for day in days:
        kind = "drifted" if day.drifted else "now"
        shapes.append(
            Markup('<circle cx="{}" cy="{}" r="3" class="{}"/>').format(
                x(day.day), y(day.distance or 0.0), kind
            )
        )
    description = f"Distance of {feature} over the days, with its threshold"
    return Chart(description, _HISTORY_HEIGHT, Markup("").join(shapes))


def result_picture(result: MonitoringResult) -> str:
    """Draw all features of a monitoring result in one picture.

    Returns:
        Markdown with the picture inside, as Dagster's UI shows it.
    """
    charts = [
        (f"{feature.feature}: {feature.verdict}", feature_chart(feature))
        for feature in result.features
        if feature.distance is not None
    ]
    return _markdown("Distance of each feature and its top contributors", charts)


def history_picture(history: DriftHistory, features: Sequence[str]) -> str:
    """Draw the history of all features in one picture.

    Returns:
        Markdown with the picture inside, as Dagster's UI shows it.
    """
    charts = [
        (feature, history_chart(history, feature))
        for feature in features
        if any(day.distance is not None for day in history.distances(feature))
    ]
    picture = _markdown("Distance of each feature over the days", charts)
    return f"{picture}\n\nThe line is the threshold; dotted: a new baseline." if charts else picture


def printable(text: str) -> str:
    """Return text that XML and HTML can hold: each control or format character is replaced.

    Args:
        text: any text, e.g. a description from a bank transaction.

    Returns:
        The text with U+FFFD in place of every character of the Unicode categories C*, and
        "(empty)" in place of no text.
    """
    shown = "".join(_REPLACEMENT if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    return shown or "(empty)"


def _markdown(description: str, charts: Sequence[tuple[str, Chart]]) -> str:
    if not charts:
        return "no data"
    parts, height = [], 0
    for title, chart in charts:
        parts.append(
            Markup(
                '<g transform="translate(0 {})">{}<g transform="translate(0 26)">{}</g></g>'
            ).format(
                height, _text(_MARGIN, 20, _label(title, _MAX_TITLE_COLUMNS), "title"), chart.shapes
            )
        )
        height += 26 + chart.height + 8
    # A light ground of its own: Dagster's theme can be dark where the reader's system is light.
    svg = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}">'
        '<style>{style}</style><rect width="{w}" height="{h}" fill="#ffffff"/>{parts}</svg>'
    ).format(
        w=WIDTH, h=height, style=Markup(_OWN_COLORS + CHART_STYLE), parts=Markup("").join(parts)
    )
    encoded = base64.b64encode(svg.encode()).decode()
    return f"![{description}](data:image/svg+xml;base64,{encoded})"


def _ticks(limit: float) -> list[float]:
    step = next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if limit / step <= 6), 0.25)
    return [round(step * number, 6) for number in range(int(limit / step + 1e-9) + 1)]


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"/>').format(
        x, y, round(width, 1), height, kind
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, kind)


def _polyline(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    return Markup('<polyline points="{}" class="{}"/>').format(
        " ".join(f"{x},{y}" for x, y in points), kind
    )


def _text(x: float, y: float, text: str, kind: str = "") -> Markup:
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(
        round(x, 1), y, kind, escape(printable(text))
    )


def _label(value: str, columns: int = _MAX_LABEL_COLUMNS) -> str:
    # Signs of East Asian scripts take the space of two; the page's table has the whole value.
    shown, width = "", 0
    for sign in printable(value):
        width += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if width > columns:
            return shown + "…"
        shown += sign
    return shown
