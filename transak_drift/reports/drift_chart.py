"""The picture in a drift report: distances against thresholds, and what changed most."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BASELINE = "#9aa5b1"
_TARGET = "#2b6cb0"
_DRIFT = "#c53030"
_LONGEST_LABEL = 34


def drift_chart_markdown(result: MonitoringResult) -> str:
    """Draw a monitoring result.

    Args:
        result: the result of one run.

    Returns:
        Markdown with the picture (PNG) inside, as Dagster's UI shows it.
    """
    encoded = base64.b64encode(drift_chart(result)).decode()
    return f"![Distance of each feature and its top contributors](data:image/png;base64,{encoded})"


def drift_chart(result: MonitoringResult) -> bytes:
    """Draw a monitoring result as PNG.

    Args:
        result: the result of one run.

    Returns:
        The bytes of the PNG: one panel of distances, then one panel a feature.
    """
    # The figure is used without pyplot, which would open a display and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = 1 + len(result.features)
    most_bars = max((len(feature.contributors) for feature in result.features), default=1)
    figure = Figure(
        figsize=(
            9.0,
            1.6 + 0.5 * len(result.features) + len(result.features) * (0.9 + 0.36 * most_bars),
        ),
        layout="constrained",
    )
    heights = [0.6 + 0.5 * len(result.features)] + [0.9 + 0.36 * most_bars] * len(result.features)
    axes = figure.subplots(panels, 1, gridspec_kw={"height_ratios": heights}, squeeze=False)[:, 0]
    _draw_distances(axes[0], result)
    for panel, feature in zip(axes[1:], result.features, strict=True):
        _draw_contributors(panel, feature)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def _draw_distances(axes: Axes, result: MonitoringResult) -> None:
    features = list(reversed(result.features))
    for row, feature in enumerate(features):
        color = _DRIFT if feature.drifted else _TARGET
        axes.barh(row, feature.distance or 0.0, height=0.5, color=color)
        axes.plot([feature.threshold] * 2, [row - 0.4, row + 0.4], color="black", linewidth=2)
        shown = "no data" if feature.distance is None else f"{feature.distance:.3f}"
        axes.text(min((feature.distance or 0.0) + 0.01, 0.93), row, shown, va="center")
    axes.set_yticks(range(len(features)), [f"{f.feature}\n{_metric(f.metric)}" for f in features])
    axes.set_xlim(0, 1)
    axes.set_title(f"{result.day}: distance to {result.baseline_name} (black line: threshold)")
    _plain(axes)


def _draw_contributors(axes: Axes, feature: FeatureDrift) -> None:
    contributors = list(reversed(feature.contributors))
    axes.set_title(f"{feature.feature}: share before (grey) and now", loc="left")
    if not contributors:
        axes.text(
            0.5, 0.5, feature.note or "nothing changed", ha="center", transform=axes.transAxes
        )
        axes.set_axis_off()
        return
    color = _DRIFT if feature.drifted else _TARGET
    for row, item in enumerate(contributors):
        axes.barh(row + 0.2, item.baseline_share, height=0.36, color=_BASELINE)
        axes.barh(row - 0.2, item.target_share, height=0.36, color=color)
    axes.set_yticks(range(len(contributors)), [_label(item.value) for item in contributors])
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def _label(value: str) -> str:
    # A dollar sign would start a formula.
    text = value if len(value) <= _LONGEST_LABEL else value[: _LONGEST_LABEL - 1] + "…"
    return text.replace("$", r"\$") or "(empty)"


def _metric(metric: str) -> str:
    return {"l_infinity": "L-infinity", "jensen_shannon_divergence": "Jensen–Shannon"}[metric]
