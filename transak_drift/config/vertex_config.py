"""The part of the configuration that only the gcp platform reads: data and pipeline on Vertex AI.

Each key has a default, so that a configuration of the local platform needs none of them; what a
step cannot do without is asked for by that step, with the name of the key.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from transak_drift.config.fields import (
    DATASET_ADDRESS,
    GCS_DIRECTORY,
    LABEL_KEY,
    LABEL_VALUE,
    NETWORK,
    PARAMETER_NAME,
    PIPELINE_TEMPLATE,
    PREDICTION_DATASET,
    EmailAddress,
)

ParameterValue = str | bool | int | float


class VertexConfig(BaseModel):
    """Data and pipeline of the monitored model on Vertex AI."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training_dataset: Annotated[str, StringConstraints(pattern=DATASET_ADDRESS)] | None = Field(
        default=None,
        description=(
            "Baseline: the data that the model was trained on, as bq://project.dataset.table or "
            "gs://bucket/path with the ending .csv, .jsonl or .tfrecord. {model_version} stands "
            "for the version that predicts, so that each version has its own baseline."
        ),
    )
    prediction_dataset: Annotated[str, StringConstraints(pattern=PREDICTION_DATASET)] | None = (
        Field(
            default=None,
            description=(
                "What is monitored each day: bq://project.dataset.table, gs://bucket/path, or "
                "batchPredictionJobs/<display name>. {date} stands for the day, {date:%Y%m%d} for "
                "the day in another form; without it the rows are chosen by date_column."
            ),
        )
    )
    monitoring_output: Annotated[str, StringConstraints(pattern=GCS_DIRECTORY)] | None = Field(
        default=None,
        description=(
            "Directory gs://bucket/path for statistics and report pages; by default Vertex AI "
            "makes one for the statistics, and there are no pages."
        ),
    )
    pipeline_template: Annotated[str, StringConstraints(pattern=PIPELINE_TEMPLATE)] | None = Field(
        default=None,
        description=(
            "Compiled training pipeline: a local .yaml or .json file, gs://bucket/path, or "
            "https://<region>-kfp.pkg.dev/<project>/<repository>/<package>/<version>."
        ),
    )
    pipeline_root: Annotated[str, StringConstraints(pattern=GCS_DIRECTORY)] | None = Field(
        default=None, description="Directory gs://bucket/path for what the pipeline puts out."
    )
    pipeline_parameters: dict[
        Annotated[str, StringConstraints(pattern=PARAMETER_NAME)], ParameterValue
    ] = Field(
        default_factory=dict,
        description=(
            "Parameters of the pipeline. In text {model_name}, {drift_event}, {first_day} and "
            "{last_day} stand for the model, the drift event and the days to train on."
        ),
    )
    pipeline_service_account: EmailAddress | None = Field(
        default=None, description="Service account that the pipeline runs as."
    )
    pipeline_network: Annotated[str, StringConstraints(pattern=NETWORK)] | None = Field(
        default=None,
        description="Network of the pipeline: projects/<number>/global/networks/<name>.",
    )
    pipeline_labels: dict[
        Annotated[str, StringConstraints(pattern=LABEL_KEY)],
        Annotated[str, StringConstraints(pattern=LABEL_VALUE)],
    ] = Field(default_factory=dict, description="Labels of the PipelineJob, e.g. for costs.")
