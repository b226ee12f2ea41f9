"""The ModelMonitor that a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.vertex.dataset_input import training_dataset_input
from transak_drift.vertex.model_lookup import RegistryVersion

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import (
        ModelMonitor,
        ModelMonitoringNotificationSpec,
        ModelMonitoringObjectiveSpec,
        ModelMonitoringOutputSpec,
        ModelMonitoringSchema,
    )

CATEGORICAL_METRIC = "l_infinity"
NUMERICAL_METRIC = "jensen_shannon_divergence"
_DATA_TYPES = {"categorical": "categorical", "numerical": "float"}


def model_monitor(config: MonitoringConfig, model: RegistryVersion) -> ModelMonitor:
    """Build the ModelMonitor of a version, without a resource name.

    Raises:
        PlatformError: the configuration lacks what only Vertex AI needs.
    """
    from google.cloud.aiplatform_v1beta1 import types

    if config.vertex.training_dataset is None:
        raise PlatformError(
            "vertex.training_dataset is not set: name the data that the model was trained on, as "
            "bq://project.dataset.table or gs://bucket/path; it is the baseline"
        )
    target = types.ModelMonitor.ModelMonitoringTarget
    return types.ModelMonitor(
        display_name=config.monitoring_job_display_name,
        model_monitoring_target=target(
            vertex_model=target.VertexModelSource(model=model.model, model_version_id=model.version)
        ),
        training_dataset=training_dataset_input(config.vertex.training_dataset, model.version),
        tabular_objective=tabular_objective(config),
        notification_spec=notification_spec(config),
        output_spec=output_spec(config),
        model_monitoring_schema=monitoring_schema(config),
    )


def tabular_objective(config: MonitoringConfig) -> ModelMonitoringObjectiveSpec.TabularObjective:
    """Build the objective: drift of each configured feature above its own threshold."""
    from google.cloud.aiplatform_v1beta1 import types

    objective = types.ModelMonitoringObjectiveSpec
    return objective.TabularObjective(
        feature_drift_spec=objective.DataDriftSpec(
            features=list(config.drift_thresholds),
            categorical_metric_type=CATEGORICAL_METRIC,
            numeric_metric_type=NUMERICAL_METRIC,
            feature_alert_conditions={
                feature: types.ModelMonitoringAlertCondition(threshold=threshold)
                for feature, threshold in config.drift_thresholds.items()
            },
        )
    )


def notification_spec(config: MonitoringConfig) -> ModelMonitoringNotificationSpec:
    """Build who is notified, and whether anomalies are logged."""
    from google.cloud.aiplatform_v1beta1 import types

    spec = types.ModelMonitoringNotificationSpec
    return spec(
        email_config=spec.EmailConfig(user_emails=list(config.user_emails)),
        enable_cloud_logging=config.log_anomalies,
        notification_channel_configs=[
            spec.NotificationChannelConfig(notification_channel=channel)
            for channel in config.notification_channels
        ],
    )


def output_spec(config: MonitoringConfig) -> ModelMonitoringOutputSpec | None:
    """Build where statistics are written, or None to leave that to Vertex AI."""
    from google.cloud.aiplatform_v1beta1 import types

    if config.vertex.monitoring_output is None:
        return None
    return types.ModelMonitoringOutputSpec(
        gcs_base_directory=types.GcsDestination(output_uri_prefix=config.vertex.monitoring_output)
    )


def monitoring_schema(config: MonitoringConfig) -> ModelMonitoringSchema:
    """Build the schema of the monitored features.

    Raises:
        PlatformError: a feature's type is not configured; Vertex AI does not look at the column.
    """
    from google.cloud.aiplatform_v1beta1 import types

    fields = []
    for feature in config.drift_thresholds:
        kind = config.feature_type(feature)
        if kind is None:
            raise PlatformError(
                f"the type of the feature {feature!r} is not configured, and Vertex AI needs it: "
                f'add "feature_types": {{"{feature}": "numerical"}} or "categorical"'
            )
        fields.append(
            types.ModelMonitoringSchema.FieldSchema(name=feature, data_type=_DATA_TYPES[kind])
        )
    return types.ModelMonitoringSchema(feature_fields=fields)
