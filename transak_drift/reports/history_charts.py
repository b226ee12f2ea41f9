"""The pictures of the drift history: the distance of each feature over the days."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from transak_drift.drift.drift_history import DriftHistory
from transak_drift.reports.report_charts import LIGHT, Palette, printable, svg_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAGE_SIZE_INCHES = (4.4, 2.3)
_MARKDOWN_WIDTH_INCHES = 9.0
_MARKDOWN_PANEL_INCHES = 2.4


def history_chart_markdown(history: DriftHistory, features: Sequence[str]) -> str:
    """Draw the history of all features.

    Args:
        history: what is recorded.
        features: the features, one panel each.

    Returns:
        Markdown with the picture (PNG) inside, as Dagster's UI shows it.
    """
    # The figure is used without pyplot, which would open a display and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(_MARKDOWN_WIDTH_INCHES, _MARKDOWN_PANEL_INCHES * len(features)),
        layout="constrained",
    )
    panels = figure.subplots(len(features), 1, squeeze=False, sharex=True)[:, 0]
    for axes, feature in zip(panels, features, strict=True):
        _draw(axes, history, feature, LIGHT)
        axes.set_title(
            f"{printable(feature)}: distance and threshold (dotted: a new baseline)",
            loc="left",
            parse_math=False,
        )
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    encoded = base64.b64encode(picture.getvalue()).decode()
    return f"![Distance of each feature over the days](data:image/png;base64,{encoded})"


def history_chart(history: DriftHistory, feature: str, palette: Palette) -> bytes:
    """Draw the history of one feature for a page.

    Args:
        history: what is recorded.
        feature: the feature.
        palette: the colors.

    Returns:
        The SVG, about 420 CSS pixels wide.
    """

    def draw(figure: Figure) -> None:
        _draw(figure.subplots(), history, feature, palette)

    return svg_picture(_PAGE_SIZE_INCHES, draw)


def _draw(axes: Axes, history: DriftHistory, feature: str, palette: Palette) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    days = [day for day in history.distances(feature) if day.distance is not None]
    positions = [float(date2num(day.day)) for day in days]
    distances = [day.distance or 0.0 for day in days]
    axes.plot(positions, distances, color=palette.before, linewidth=1, zorder=2)
    for drifted, color in ((False, palette.now), (True, palette.drift)):
        chosen = [number for number, day in enumerate(days) if day.drifted == drifted]
        axes.scatter(
            [positions[number] for number in chosen],
            [distances[number] for number in chosen],
            s=14,
            color=color,
            zorder=3,
        )
    axes.step(
        positions, [day.threshold for day in days], where="mid", color=palette.text, linewidth=1.5
    )
    for promotion in history.promotions:
        axes.axvline(
            float(date2num(promotion.day)), color=palette.text, linestyle=":", linewidth=1.2
        )
    axes.set_ylim(0, min(1.0, 1.2 * max([*distances, *(day.threshold for day in days)], default=1)))
    if positions:
        axes.set_xlim(positions[0] - 0.7, positions[-1] + 1.2)
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_color(palette.text)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(palette.before)
    axes.tick_params(colors=palette.text)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
