"""Counts the labels of transactions in a file, and refuses to train on too few of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.tabular_files import open_reader
from transak_drift.training.labels import (
    LabelCounts,
    LabelVerdict,
    count_query,
    judge_labels,
    read_counts,
)

# Whose values name the rows that lack a label, where it is there.
_NAMING_COLUMN = "description"
_NONE = "CAST(NULL AS VARCHAR)"


def count_labels(file: Path, config: MonitoringConfig) -> LabelCounts:
    """Count the labels of a file's rows in one scan; a DatasetError tells why it cannot be."""
    with open_reader(config.csv) as reader:
        [rows] = reader.open_files([file], [])
        names = {column.name for column in rows.columns}
        named_by = [name for name in (_NAMING_COLUMN, *config.drift_thresholds) if name in names]
        texts = {"label": _NONE, "value": _NONE}
        chosen = {"label": config.label_column, "value": next(iter(named_by), "")}
        for text, name in chosen.items():
            if name in names:
                column = rows.measured_column(name, FeatureKind.CATEGORICAL)
                texts[text] = column.as_text(column.reference)
        select = ", ".join(f"{sql} AS {text}" for text, sql in texts.items())
        query = count_query(f"SELECT {select} FROM {rows.relation()}")
        found = reader.connection.execute(query).fetchall()
    return read_counts(found, chosen["value"], has_column=config.label_column in names)


def require_labels(
    file: Path, config: MonitoringConfig, champion_classes: Sequence[str] | None
) -> LabelVerdict | None:
    """Judge the labels of the window that drifted, where the configuration has `labels`.

    A DatasetError has what lacks, with the numbers: nothing must be trained on it.
    """
    if config.labels is None:
        return None
    classes = None if champion_classes is None else tuple(champion_classes)
    counts = count_labels(file, config).model_copy(update={"champion_classes": classes})
    verdict = judge_labels(counts, config.labels, config.label_column)
    if not verdict.is_complete:
        fix = f"label these rows in {config.label_column!r}, or ask for less in `labels`"
        raise DatasetError(f"too few labels to train on: {verdict.summary()}", fix)
    return verdict
