"""`transak-drift compare`: the distances between two datasets of your own."""

from __future__ import annotations

from typing import Annotated

import typer

from transak_drift.cli.output import JsonOption, ModelOption, print_json, print_note, print_table
from transak_drift.drift.drift_statistics import compare_features, compare_predictions
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.settings import load_settings


def compare(
    baseline: Annotated[str, typer.Argument(help="Parquet or CSV: the training data.")],
    target: Annotated[str, typer.Argument(help="Parquet or CSV: the data to judge.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two datasets by the configured features and thresholds.

    Status 1 where a distance is above its threshold, by chance or not, or where a feature has none
    since a dataset has no value of it.
    """
    from transak_drift.local.dataset_statistics import has_column, scan_statistics
    from transak_drift.local.file_transactions import monitored_kinds

    config = load_settings().load_config(model)
    kinds, prediction = monitored_kinds(config), config.prediction_drift
    metric, sources = config.categorical_metric, (baseline, target)
    if prediction and not all(has_column(it, prediction.column, config.csv) for it in sources):
        print_note(f"predictions are not compared: both need a column {prediction.column!r}")
        prediction = None
    if prediction:
        kinds[prediction.column] = FeatureKind.CATEGORICAL
    before = scan_statistics([baseline], kinds, csv_format=config.csv, is_baseline=True)
    kinds = {name: item.kind for name, item in before.features.items()}
    now = scan_statistics([target], kinds, csv_format=config.csv)
    thresholds, policy = config.drift_thresholds, config.retrain_policy
    compared = compare_features(before, now, thresholds, categorical_metric=metric)
    if prediction:
        compared = (*compared, compare_predictions(before, now, prediction, metric))
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
    if any(item.is_above_threshold or item.distance is None for item in features):
        raise typer.Exit(1)
