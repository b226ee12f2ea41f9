"""The report of a monitoring run as one HTML file that needs nothing beside it."""

from __future__ import annotations

from typing import Any

from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.reports.page_template import page_template
from transak_drift.reports.report_charts import LIGHT, chart_uris, feature_chart, printable

_METRIC_NAMES = {
    "l_infinity": "L-infinity distance",
    "jensen_shannon_divergence": "Jensen–Shannon divergence",
}


def drift_report_page(result: MonitoringResult) -> str:
    """Write the report of a monitoring run for people.

    Args:
        result: what the run found. Its texts may hold anything: they are escaped, and the page's
            Content-Security-Policy allows neither scripts nor requests.

    Returns:
        One HTML document, the same for the same result: light or dark as the reader's system, for
        narrow and wide screens, with its pictures inside.
    """
    return page_template("report_page.html.j2").render(
        result=result,
        drifted=", ".join(printable(feature.feature) for feature in result.drifted),
        without_data=[item for item in result.features if item.distance is None],
        features=[_feature_view(feature) for feature in result.features],
    )


def _feature_view(feature: FeatureDrift) -> dict[str, Any]:
    light = dark = None
    if feature.distance is not None:
        light, dark = chart_uris(feature_chart(feature, LIGHT))
    return {
        "name": feature.feature,
        "metric": _METRIC_NAMES.get(feature.metric, feature.metric),
        "distance": "–" if feature.distance is None else f"{feature.distance:.4f}",
        "threshold": f"{feature.threshold:g}",
        "verdict": feature.verdict,
        "note": feature.note,
        "contributors": feature.contributors,
        "light_chart": light,
        "dark_chart": dark,
    }
