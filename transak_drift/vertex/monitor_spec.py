"""The ModelMonitor that a configuration asks for, and what differs from it."""

from __future__ import annotations

import re
from typing import Any

from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import Change, PlatformError
from transak_drift.vertex.dataset_input import describe_input, training_dataset_input
from transak_drift.vertex.model_lookup import RegistryVersion

CATEGORICAL_METRIC = "l_infinity"
NUMERICAL_METRIC = "jensen_shannon_divergence"
_DATA_TYPES = {"categorical": "categorical", "numerical": "float"}
_PROJECT = re.compile(r"^projects/[^/]+/")
_OUTPUT = "output_spec.directory"


def model_monitor(config: MonitoringConfig, model: RegistryVersion) -> types.ModelMonitor:
    """Build the ModelMonitor of a version, without a resource name.

    Raises:
        PlatformError: the configuration lacks what only Vertex AI needs.
    """
    target = {"model": model.model, "model_version_id": model.version}
    return types.ModelMonitor(
        display_name=config.monitoring_job_display_name,
        model_monitoring_target={"vertex_model": target},
        training_dataset=training_dataset_input(config, model.version),
        tabular_objective=tabular_objective(config),
        notification_spec=notification_spec(config),
        output_spec=output_spec(config),
        model_monitoring_schema={
            "feature_fields": [
                {"name": feature, "data_type": _data_type(config, feature)}
                for feature in config.drift_thresholds
            ]
        },
    )


def tabular_objective(config: MonitoringConfig) -> dict[str, Any]:
    """Build the objective: drift of each configured feature above its own threshold."""
    return {
        "feature_drift_spec": {
            "features": list(config.drift_thresholds),
            "categorical_metric_type": CATEGORICAL_METRIC,
            "numeric_metric_type": NUMERICAL_METRIC,
            "feature_alert_conditions": {
                feature: {"threshold": threshold}
                for feature, threshold in config.drift_thresholds.items()
            },
        }
    }


def notification_spec(config: MonitoringConfig) -> types.ModelMonitoringNotificationSpec:
    """Build who is notified, and whether anomalies are logged."""
    return types.ModelMonitoringNotificationSpec(
        email_config={"user_emails": list(config.user_emails)},
        enable_cloud_logging=config.log_anomalies,
        notification_channel_configs=[
            {"notification_channel": channel} for channel in config.notification_channels
        ],
    )


def output_spec(config: MonitoringConfig) -> dict[str, Any] | None:
    """Build where statistics are written, or None to leave that to Vertex AI."""
    directory = config.vertex.monitoring_output
    if directory is None:
        return None
    return {"gcs_base_directory": {"output_uri_prefix": directory}}


def difference(
    present: types.ModelMonitor | None, desired: types.ModelMonitor
) -> tuple[Change, ...]:
    """List the settings in which a monitor, None where it does not exist, differs from the desired.

    An output directory that only Vertex AI chose is no difference.
    """
    before = {} if present is None else _settings_of(present)
    after = _settings_of(desired)
    if _OUTPUT not in after:
        before.pop(_OUTPUT, None)
    return tuple(
        Change(path, before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    )


def merged(present: types.ModelMonitor, desired: types.ModelMonitor) -> types.ModelMonitor:
    """Return a copy of a monitor with the configured settings; all others are kept."""
    monitor = types.ModelMonitor(present)
    for field in (
        "display_name",
        "model_monitoring_target",
        "training_dataset",
        "notification_spec",
    ):
        setattr(monitor, field, getattr(desired, field))
    monitor.tabular_objective.feature_drift_spec = desired.tabular_objective.feature_drift_spec
    monitor.model_monitoring_schema.feature_fields = desired.model_monitoring_schema.feature_fields
    if desired.output_spec.gcs_base_directory.output_uri_prefix:
        monitor.output_spec = desired.output_spec
    return monitor


def _settings_of(monitor: types.ModelMonitor) -> dict[str, Any]:
    """Read the settings that the configuration decides, by dotted path.

    The first part of a path is the field of ModelMonitor that an update mask names. The project is
    left out of resource names, since Vertex AI answers with its number where the configuration has
    its id.
    """
    model = monitor.model_monitoring_target.vertex_model
    drift = monitor.tabular_objective.feature_drift_spec
    notification = monitor.notification_spec
    settings: dict[str, Any] = {
        "display_name": monitor.display_name,
        "model_monitoring_target.model": _PROJECT.sub("", model.model),
        "model_monitoring_target.model_version_id": model.model_version_id,
        "training_dataset": describe_input(monitor.training_dataset),
        "tabular_objective.features": sorted(drift.features),
        "tabular_objective.categorical_metric_type": drift.categorical_metric_type,
        "tabular_objective.numeric_metric_type": drift.numeric_metric_type,
        "notification_spec.enable_cloud_logging": notification.enable_cloud_logging,
        "notification_spec.user_emails": sorted(notification.email_config.user_emails),
        "notification_spec.notification_channels": sorted(
            _PROJECT.sub("", item.notification_channel)
            for item in notification.notification_channel_configs
        ),
    }
    for feature, condition in drift.feature_alert_conditions.items():
        settings[f"tabular_objective.thresholds.{feature}"] = condition.threshold
    for field in monitor.model_monitoring_schema.feature_fields:
        settings[f"model_monitoring_schema.{field.name}"] = field.data_type
    directory = monitor.output_spec.gcs_base_directory.output_uri_prefix
    if directory:
        # Vertex AI answers with the monitor's own directory below the one that was given.
        own = f"/model_monitoring/{monitor.name.rpartition('/')[2]}"
        settings[_OUTPUT] = directory.rstrip("/").removesuffix(own)
    return settings


def _data_type(config: MonitoringConfig, feature: str) -> str:
    kind = config.feature_type(feature)
    if kind is None:
        raise PlatformError(
            f"the type of the feature {feature!r} is not configured, and Vertex AI needs it: "
            f'add "feature_types": {{"{feature}": "numerical"}} or "categorical"'
        )
    return _DATA_TYPES[kind]
