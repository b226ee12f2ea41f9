"""The monitored model in Vertex AI's model registry, and its versions.

A version is the registry's own `Model`, whose name here never has the version in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from google.cloud.aiplatform_v1.types import Model, ModelEvaluation, PipelineJob
from pydantic import ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.platform import PlatformError
from transak_drift.training.promotion import COMPARISON_METADATA, Comparison
from transak_drift.vertex.connection import VertexConnection

# Labels of a training's PipelineJob: the first and last day that it may learn from, and the metric
# that tells how many of them it did, up to the last.
DAY_LABELS = ("transak-drift-first-day", "transak-drift-last-day")
DAYS_METRIC = "training days"


def find_model(connection: VertexConnection, config: MonitoringConfig) -> Model:
    """Resolve the configured model name and alias to the version that predicts."""
    parent, alias = connection.parent, config.model_alias
    listed = connection.list_named(connection.models.list_models, config.model_name)
    found = [model for model in listed if model.display_name == config.model_name]
    if not found:
        raise PlatformError(
            f"no model is named {config.model_name!r} in {parent}: upload it, or correct "
            "model_name, project_id or location in the configuration"
        )
    if len(found) > 1:
        names = ", ".join(sorted(model.name for model in found))
        raise PlatformError(
            f"{len(found)} models are named {config.model_name!r} in {parent} ({names}): give all "
            "but one of them another display name, so that model_name says which one is meant"
        )
    # A list gives the default version of each model ("Model versioning with Model Registry").
    if alias in found[0].version_aliases:
        return _version(found[0])
    name = connection.name("models", model_id(_version(found[0])))
    model = connection.find(connection.models.get_model, f"{name}@{alias}")
    if model is None:
        raise PlatformError(
            f"no version of {name} has the alias {alias!r}: give it to the version that "
            "predicts, or correct model_alias in the configuration"
        )
    return _version(model)


def model_id(version: Model) -> str:
    return version.name.rpartition("/")[2]


def name_of_version(version: Model) -> str:
    return f"{version.name}@{version.version_id}"


def list_versions(connection: VertexConnection, model: Model) -> list[Model]:
    """List the versions of a model, newest first."""
    versions = connection.list_all(connection.models.list_model_versions, name=model.name)
    return sorted(
        map(_version, versions), key=lambda version: version.version_create_time, reverse=True
    )


def read_metrics(connection: VertexConnection, version: Model) -> dict[str, float]:
    """Read the numbers of a version's newest evaluation; none where it was never evaluated."""
    evaluations = connection.list_all(
        connection.models.list_model_evaluations, parent=name_of_version(version)
    )
    newest = max(evaluations, key=lambda item: item.create_time, default=ModelEvaluation())
    metrics = ModelEvaluation.to_dict(newest).get("metrics")
    return numbers_of(metrics if isinstance(metrics, dict) else {})


def trained_days(connection: VertexConnection, config: MonitoringConfig, version: Model) -> Window:
    """Return the days that a version was trained on.

    Of a version that another than this project has trained they are the last days that were over
    when it was uploaded, as many as a training may use.
    """
    job = PipelineJob()
    if version.pipeline_job:
        name = connection.name("pipelineJobs", version.pipeline_job.rpartition("/")[2])
        job = connection.find(connection.pipelines.get_pipeline_job, name) or job
    labels = dict(job.labels)
    try:
        first, last = (date.fromisoformat(labels[label]) for label in DAY_LABELS)
    except (KeyError, ValueError):
        ended = config.windows.newest_ended(version.version_create_time)
        last = ended.last_day
        earliest = last - timedelta(days=config.maximum_training_days - 1)
        return Window(min(earliest, ended.first_day), last)
    used = {**read_metrics(connection, version), **pipeline_metrics(job)}.get(DAYS_METRIC, 0)
    return Window(last - timedelta(days=int(used) - 1) if used >= 1 else first, last)


def pipeline_metrics(job: PipelineJob) -> dict[str, float]:
    """Read the numbers by name that a pipeline's steps logged as `system.Metrics`."""
    return numbers_of(_metrics_metadata(job))


def pipeline_comparison(job: PipelineJob) -> Comparison | None:
    """Read how a challenger compared with the champion; None where no step says it."""
    try:
        return Comparison.model_validate_json(str(_metrics_metadata(job)[COMPARISON_METADATA]))
    except (KeyError, ValidationError):
        return None


def _metrics_metadata(job: PipelineJob) -> dict[str, object]:
    metadata: dict[str, object] = {}
    for task in job.job_detail.task_details:
        for output in task.outputs.values():
            for artifact in output.artifacts:
                if artifact.schema_title == "system.Metrics":
                    metadata |= dict(artifact.metadata)
    return metadata


def numbers_of(values: Mapping[str, object]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _version(model: Model) -> Model:
    model.name = model.name.partition("@")[0]
    return model
