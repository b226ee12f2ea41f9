"""Artifact types that Vertex AI Pipelines knows, for the steps that pass its resources on.

Source: "Google Cloud Pipeline Components: artifact types". That package itself cannot be installed
beside the google-cloud-aiplatform this project needs, but its image does not have to be.
"""

from __future__ import annotations

from kfp import dsl


class VertexModel(dsl.Artifact):
    """A Vertex AI Model; `resourceName` in its metadata names it."""

    schema_title = "google.VertexModel"
    schema_version = "0.0.1"


class VertexBatchPredictionJob(dsl.Artifact):
    """A Vertex AI BatchPredictionJob; `resourceName` in its metadata names it."""

    schema_title = "google.VertexBatchPredictionJob"
    schema_version = "0.0.1"


class BigQueryTable(dsl.Artifact):
    """A BigQuery table; `projectId`, `datasetId` and `tableId` in its metadata name it."""

    schema_title = "google.BQTable"
    schema_version = "0.0.1"


class UnmanagedContainerModel(dsl.Artifact):
    """Files of a model; `containerSpec` in its metadata tells the image that serves them."""

    schema_title = "google.UnmanagedContainerModel"
    schema_version = "0.0.1"
