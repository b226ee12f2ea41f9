"""The pictures of a model, as SVG like those of drift: confusion matrix and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from transak_drift.reports.charts import WIDTH, Chart, markdown_picture, templates
from transak_drift.training.promotion import Comparison, EvaluatedModel, SetComparison

_LABELS_WIDTH = 122
_MAX_CELL = 26
_DIGIT_WIDTH = 6.5
_CALIBRATION_HEIGHT = 240


def matrix_chart(model: EvaluatedModel, found: SetComparison) -> Chart | None:
    """Draw the answers for each class as shares of its rows; None where there are no rows.

    Classes beyond the commonest are one, if there are any.
    """
    if not model.matrix or not model.scores.rows:
        return None
    labels = [*found.matrix_labels, "(all others)"]
    has_others = any(model.matrix[-1]) or any(row[-1] for row in model.matrix)
    size = len(labels) if has_others else len(labels) - 1
    cell = min(_MAX_CELL, (WIDTH - _LABELS_WIDTH - 6) / size)
    cells = []
    for row in range(size):
        total = sum(model.matrix[row]) or 1
        for column, rows in enumerate(model.matrix[row][:size]):
            if rows:
                kind = "now" if row == column else "drifted"
                cells.append((row, column, rows, round(0.2 + 0.45 * rows / total, 3), kind))
    shapes = _macros().matrix(
        labels[:size], cells, cell=cell, left=_LABELS_WIDTH, top=24, digits=int(cell / _DIGIT_WIDTH)
    )
    description = f"Confusion matrix on {found.rows:,} {found.name} rows"
    return Chart(description, round(24 + size * cell + 6), shapes)


def calibration_chart(found: SetComparison) -> Chart | None:
    """Draw how often answers of about one probability are right, of both models."""
    models = [("now", found.challenger)]
    if found.champion is not None:
        models.insert(0, ("before", found.champion))
    if not any(model.calibration for _, model in models):
        return None
    left, right, top, bottom = 40, WIDTH - 20, 10, _CALIBRATION_HEIGHT - 40

    def x(share: float) -> float:
        return round(left + (right - left) * share, 1)

    def y(share: float) -> float:
        return round(bottom - (bottom - top) * share, 1)

    shapes = _macros().calibration(
        [(kind, model.calibration) for kind, model in models], x=x, y=y, bottom=bottom
    )
    description = f"Calibration on {found.name} rows: share that is right by predicted probability"
    return Chart(description, _CALIBRATION_HEIGHT, shapes)


def model_charts(comparison: Comparison) -> Mapping[str, Chart | None]:
    """Draw all pictures of a comparison, by their titles."""
    charts: dict[str, Chart | None] = {}
    for found in comparison.sets:
        charts[f"challenger, {found.name} rows"] = matrix_chart(found.challenger, found)
        if found.champion is not None:
            charts[f"champion, {found.name} rows"] = matrix_chart(found.champion, found)
        charts[f"calibration, {found.name} rows"] = calibration_chart(found)
    return charts


def model_picture(comparison: Comparison) -> str:
    """Draw a comparison in one picture, in Markdown for Dagster's UI."""
    return markdown_picture(
        "Confusion matrices and calibration of challenger and champion", model_charts(comparison)
    )


@cache
def _macros() -> Any:
    return templates().get_template("model_charts.svg.j2").module
