"""Data and pipeline on Vertex AI, which only the gcp platform reads.

Each key has a default, so that a configuration of the local platform needs none of them; what a
step cannot do without is asked for by that step, with the name of the key.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from transak_drift.config.fields import EmailAddress, Section, fault

# A table may hold letters, digits, _ and -, and the placeholders of a day or of a model version.
_TABLE = r"bq://[a-z][a-z0-9-]{4,28}[a-z0-9]\.[A-Za-z0-9_]+\.[A-Za-z0-9_{}:%-]+"
_BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_FILES = rf"{_BUCKET}/[^\s]+\.(csv|jsonl|tfrecord)"
_PREDICTIONS = rf"^({_TABLE}|{_FILES}|batchPredictionJobs/[^/\x00-\x1f]+)$"
# Only Artifact Registry may be asked over https, since it is sent an access token.
_ARTIFACT_REGISTRY = r"https://[a-z0-9-]+-kfp\.pkg\.dev/[^\s]+"
_TEMPLATE = rf"^({_BUCKET}/[^\s]+|{_ARTIFACT_REGISTRY}|[^:\x00-\x1f]+\.(ya?ml|json))$"

GcsDirectory = Annotated[str, Field(pattern=rf"^{_BUCKET}(/[^\s]*)?$")]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
LabelKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
LabelValue = Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,63}$")]
ParameterValue = str | bool | int | float


def _scalar(value: Any) -> Any:
    # Otherwise pydantic reports a wrong value once for each type that it is not.
    if isinstance(value, ParameterValue):
        return value
    fix = "write text in quotes, a number, true or false"
    raise fault("parameter_value", "is no single value", fix)


class VertexConfig(Section):
    """Data and pipeline of the monitored model on Vertex AI."""

    training_dataset: Annotated[str, Field(pattern=rf"^({_TABLE}|{_FILES})$")] | None = None
    """Baseline: the data that the model was trained on, as bq://project.dataset.table or
    gs://bucket/path with the ending .csv, .jsonl or .tfrecord. {model_version} stands for the
    version that predicts, so that each version has its own baseline."""

    prediction_dataset: Annotated[str, Field(pattern=_PREDICTIONS)] | None = None
    """What is monitored each day: bq://project.dataset.table, gs://bucket/path with the ending
    .csv, .jsonl or .tfrecord, or batchPredictionJobs/<display name>. {date} stands for the day,
    {date:%Y%m%d} for the day in another form; without it the rows are chosen by date_column."""

    monitoring_output: GcsDirectory | None = None
    """Directory gs://bucket/path for statistics and report pages; by default Vertex AI makes one
    for the statistics, and there are no pages."""

    pipeline_template: Annotated[str, Field(pattern=_TEMPLATE)] | None = None
    """Compiled training pipeline: a local .yaml or .json file, gs://bucket/path, or
    https://<region>-kfp.pkg.dev/<project>/<repository>/<package>/<version>."""

    pipeline_root: GcsDirectory | None = None
    """Directory gs://bucket/path for what the pipeline puts out."""

    pipeline_parameters: dict[
        ParameterName, Annotated[ParameterValue, BeforeValidator(_scalar)]
    ] = Field(default_factory=dict)
    """Parameters of the pipeline. In text {model_name}, {drift_event}, {first_day} and {last_day}
    stand for the model, the drift event and the days to train on."""

    pipeline_service_account: EmailAddress | None = None
    """Service account that the pipeline runs as, such as name@example.com."""

    pipeline_network: (
        Annotated[str, Field(pattern=r"^projects/[^/\s]+/global/networks/[^/\s]+$")] | None
    ) = None
    """Network of the pipeline: projects/<number>/global/networks/<name>."""

    pipeline_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels of the PipelineJob, e.g. for costs; names and values are at most 63 lower-case
    letters, digits, _ or -, a name begins with a letter."""
