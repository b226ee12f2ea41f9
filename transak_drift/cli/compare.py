"""`transak-drift compare`: the distances between two datasets of your own."""

from __future__ import annotations

from typing import Annotated

import typer

from transak_drift.cli.output import JsonOption, ModelOption, print_json, print_table
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.settings import load_settings


def compare(
    baseline: Annotated[str, typer.Argument(help="Parquet or CSV: the training data.")],
    target: Annotated[str, typer.Argument(help="Parquet or CSV: the data to judge.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two datasets by the configured features and thresholds.

    Status 1 where a feature drifts, or has no distance since a dataset has no value of it.
    """
    from transak_drift.local.dataset_statistics import scan_statistics
    from transak_drift.local.file_transactions import monitored_kinds

    config = load_settings().load_config(model)
    before = scan_statistics(
        [baseline], monitored_kinds(config), csv_format=config.csv, is_baseline=True
    )
    kinds = {name: item.kind for name, item in before.features.items()}
    now = scan_statistics([target], kinds, csv_format=config.csv)
    metric, policy = config.categorical_metric, config.retrain_policy
    compared = compare_features(before, now, config.drift_thresholds, categorical_metric=metric)
    features = [item.judged(item.threshold, now.rows, policy) for item in compared]
    if as_json:
        found = [{**item.model_dump(mode="json"), "drifted": item.drifted} for item in features]
        print_json({"baseline_rows": before.rows, "target_rows": now.rows, "features": found})
    else:
        rows = [
            {
                "feature": item.feature,
                "metric": item.metric,
                "distance": None if item.distance is None else f"{item.distance:.6f}",
                "by chance": None if item.by_chance is None else f"{item.by_chance:.6f}",
                "threshold": item.threshold,
                "verdict": item.note or item.dismissed or ("DRIFT" if item.drifted else "ok"),
            }
            for item in features
        ]
        print_table(f"{target} against {baseline}", rows, "no feature is monitored")
    if any(item.drifted or item.distance is None for item in features):
        raise typer.Exit(1)
