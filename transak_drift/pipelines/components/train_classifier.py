"""Component: trains a challenger and compares it with the present model."""

# KFP reads the annotations as objects and copies the function's source into the component: no
# `from __future__ import annotations` here, and every import that the function needs within it.
from typing import NamedTuple

from kfp import dsl

from transak_drift.pipelines.embedded_component import component_with_source


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

    The model's directory, `model_uri`, is compared with that of the present version,
    `champion_uri`, which is empty where there is none. `version_aliases` has the monitored alias
    where the challenger replaces it, and `description` says why it does or does not.
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
    "transak_drift.pipelines.training_step",
    ["duckdb", "joblib", "numpy", "pyarrow", "pydantic", "scikit-learn"],
)
