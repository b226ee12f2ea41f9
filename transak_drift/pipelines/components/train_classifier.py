"""Component: trains a challenger and compares it with the present model."""

# KFP reads the annotations as objects and copies the function's source into the component: no
# `from __future__ import annotations` here, and every import that the function needs within it.
from typing import NamedTuple

from kfp import dsl

from transak_drift.pipelines.embedded_component import component_with_source, pinned


def train_classifier(
    monitoring_config: str,
    transactions: str,
    first_day: str,
    last_day: str,
    champion_uri: str,
    seed: int,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple(
    "TrainedClassifier", [("model_uri", str), ("version_aliases", list), ("description", str)]
):  # ty: ignore[invalid-type-form]
    """Train a classifier on the days of the present regime.

    Args:
        monitoring_config: text of the monitoring configuration.
        transactions: gs://bucket/directory of days, as Parquet or CSV.
        first_day: earliest day that may be used, YYYY-MM-DD.
        last_day: the day whose data drifted, YYYY-MM-DD.
        champion_uri: gs://bucket/directory of the present version's files; empty where it has
            none.
        seed: of sampling and splitting.

    Returns:
        model: directory of the model's file.
        metrics: scores on held-out recent rows.
        model_uri: the directory's gs:// address.
        version_aliases: the monitored alias where the challenger replaces the present version.
        description: why it does or does not.
    """
    from datetime import date

    from transak_drift.config.monitoring_config import parse_config
    from transak_drift.pipelines.training_step import save_model, scores_of, train_challenger

    config = parse_config(monitoring_config, "monitoring_config")
    challenger, days = train_challenger(
        config,
        transactions,
        date.fromisoformat(first_day),
        date.fromisoformat(last_day),
        champion_uri,
        seed,
    )
    save_model(challenger, model.path)
    for name, value in scores_of(challenger, days).items():
        metrics.log_metric(name, value)
    decision = challenger.decision
    aliases = [config.model_alias] if decision.promote else ["challenger"]
    return (model.uri, aliases, decision.reason)


train_classifier_op = component_with_source(
    train_classifier,
    modules=["transak_drift.config.monitoring_config", "transak_drift.pipelines.training_step"],
    packages=pinned("duckdb", "joblib", "numpy", "pyarrow", "pydantic", "scikit-learn"),
)
