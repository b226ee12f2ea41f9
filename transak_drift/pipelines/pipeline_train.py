"""Pipeline: reference of the training that a drift event starts.

A model team's own pipeline takes its place by the setting `vertex.pipeline_template`. This one
trains the local platform's classifier, and shows what the trigger expects of any: it gives the
parameters that it knows by name (project to last_day, and champion_uri), and reads the version
that names the PipelineJob, its aliases and the logged metrics.
"""

# KFP reads the annotations as objects and copies a component's source into it: no
# `from __future__ import annotations` here, and every import that a component needs within it.
from typing import NamedTuple

from kfp import dsl

from transak_drift.pipelines.embedded_component import component_with_source
from transak_drift.pipelines.google_launchers import UnmanagedContainerModel, upload_model_op


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
    """Train a classifier on the windows of the present regime.

    The model's directory, `model_uri`, is compared with that of the present version,
    `champion_uri`, which is empty where there is none, on held-out rows of the window that drifted
    and of the windows before. `version_aliases` has the monitored alias where the challenger is
    blessed and replaces it, and `description` says why it does or does not.
    """
    from datetime import date

    from transak_drift.config.monitoring_config import parse_config
    from transak_drift.pipelines.training_step import metadata_of, save_model, train_challenger

    config = parse_config(monitoring_config, "monitoring_config")
    challenger, windows = train_challenger(
        config,
        transactions,
        date.fromisoformat(first_day),
        date.fromisoformat(last_day),
        champion_uri,
        seed,
    )
    save_model(challenger, model.path)
    metrics.metadata.update(metadata_of(challenger, windows))
    aliases = [config.model_alias] if challenger.promoted else ["challenger"]
    return (model.uri, aliases, challenger.reason)


train_classifier_op = component_with_source(
    train_classifier,
    "transak_drift.pipelines.training_step",
    ["duckdb", "joblib", "numpy", "pyarrow", "pydantic", "scikit-learn"],
)


@dsl.pipeline(
    name="pipeline-train",
    description="Trains a challenger on fresh data; it predicts from now on if it is not worse.",
)
def pipeline_train(
    monitoring_config: str,
    project: str,
    location: str,
    model_name: str,
    parent_model: str,
    transactions: str,
    first_day: str,
    last_day: str,
    serving_image: str,
    champion_uri: str = "",
    seed: int = 7,
):
    """Train, compare, upload.

    Args:
        monitoring_config: text of the monitoring configuration.
        project: Google Cloud project id.
        location: region, e.g. europe-west6.
        model_name: display name of the model.
        parent_model: resource name of the model that gets the version.
        transactions: gs://bucket/directory of windows, as Parquet or CSV.
        first_day: earliest day that may be used, YYYY-MM-DD.
        last_day: last day of the window that drifted, YYYY-MM-DD.
        serving_image: image that serves model.joblib of the pinned scikit-learn.
        champion_uri: gs://bucket/directory of the present version's files.
        seed: of sampling and splitting.
    """
    training = train_classifier_op(
        monitoring_config=monitoring_config,
        transactions=transactions,
        first_day=first_day,
        last_day=last_day,
        champion_uri=champion_uri,
        seed=seed,
    )
    training.set_display_name("train-classifier").set_caching_options(False)
    files = dsl.importer(
        artifact_uri=training.outputs["model_uri"],  # ty: ignore[invalid-argument-type]
        artifact_class=UnmanagedContainerModel,
        metadata={"containerSpec": {"imageUri": serving_image}},
    )
    files.set_display_name("model-files")
    upload = upload_model_op(
        project=project,
        location=location,
        display_name=model_name,
        description=training.outputs["description"],
        version_aliases=training.outputs["version_aliases"],
        parent_model=parent_model,
        unmanaged_container_model=files.output,
    )
    upload.set_display_name("upload-model").set_caching_options(False)
