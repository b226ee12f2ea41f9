"""`transak-drift compare`: the distances between two datasets of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transak_drift.cli.output import JsonOption, ModelOption, print_json, print_table
from transak_drift.drift.drift_statistics import DriftStatisticsError, compare_features
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings


def compare(
    baseline: Annotated[Path, typer.Argument(help="Parquet or CSV: the training data.")],
    target: Annotated[Path, typer.Argument(help="Parquet or CSV: the data to judge.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two datasets by the configured features and thresholds.

    Status 1 where a feature drifts, or has no distance since a dataset has no value of it.
    """
    from transak_drift.local.dataset_statistics import DatasetError, scan_statistics
    from transak_drift.local.file_transactions import monitored_kinds

    config = load_settings().load_config(model)
    try:
        baseline_statistics = scan_statistics(
            [baseline], monitored_kinds(config), csv_format=config.csv
        )
        kinds = {name: item.kind for name, item in baseline_statistics.features.items()}
        target_statistics = scan_statistics([target], kinds, csv_format=config.csv)
        features = compare_features(baseline_statistics, target_statistics, config.drift_thresholds)
    except (DatasetError, DriftStatisticsError) as error:
        raise PlatformError(str(error)) from error
    if as_json:
        print_json(
            {
                "baseline_rows": baseline_statistics.rows,
                "target_rows": target_statistics.rows,
                "features": [
                    {**feature.model_dump(mode="json"), "drifted": feature.drifted}
                    for feature in features
                ],
            }
        )
    else:
        print_table(
            f"{target} against {baseline}",
            [
                {
                    "feature": feature.feature,
                    "metric": feature.metric,
                    "distance": "-" if feature.distance is None else f"{feature.distance:.6f}",
                    "threshold": feature.threshold,
                    "verdict": feature.note or ("DRIFT" if feature.drifted else "ok"),
                }
                for feature in features
            ],
            "no feature is monitored",
        )
    if any(feature.drifted or feature.distance is None for feature in features):
        raise typer.Exit(1)
