"""Peer: Evidently's DataDriftPreset with the Jensen-Shannon distance for every column."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from evidently import DataDefinition, Dataset, Report  # ty: ignore[import-not-found]
from evidently.presets import DataDriftPreset  # ty: ignore[import-not-found]

from benchmarks.contenders.measurement import CATEGORICAL, FEATURES, NUMERICAL, run_contender

DEFINITION = DataDefinition(
    categorical_columns=list(CATEGORICAL), numerical_columns=list(NUMERICAL)
)


def compare(baseline: Path, target: Path) -> dict[str, float]:
    """Compare two Parquet files."""
    before, after = (
        Dataset.from_pandas(
            pd.read_parquet(file, columns=list(FEATURES)), data_definition=DEFINITION
        )
        for file in (baseline, target)
    )
    report = Report(
        [
            DataDriftPreset(
                columns=list(FEATURES), cat_method="jensenshannon", num_method="jensenshannon"
            )
        ]
    )
    metrics = report.run(after, before).dict()["metrics"]
    return {
        metric["config"]["column"]: float(metric["value"])
        for metric in metrics
        if "column" in metric["config"]
    }


if __name__ == "__main__":
    run_contender(compare)
