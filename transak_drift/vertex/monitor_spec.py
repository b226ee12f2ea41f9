"""The ModelMonitor that a configuration asks for, and what differs from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from google.cloud.aiplatform_v1.types import Model
from google.cloud.aiplatform_v1beta1 import types
from google.protobuf.field_mask_pb2 import FieldMask  # ty: ignore[missing-module-member]

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import Change, PlatformError
from transak_drift.vertex.dataset_input import training_dataset_input

CATEGORICAL_METRIC = "l_infinity"
NUMERICAL_METRIC = "jensen_shannon_divergence"
_DATA_TYPES = {"categorical": "categorical", "numerical": "float"}
_PROJECT = re.compile(r'"projects/[^/"]+/')
# What the configuration decides of a monitor, each as a whole; all else is kept as it is.
_DECIDED = (
    "display_name",
    "model_monitoring_schema.feature_fields",
    "model_monitoring_target.vertex_model",
    "notification_spec",
    "output_spec.gcs_base_directory",
    "tabular_objective.feature_drift_spec",
    "training_dataset",
)


def model_monitor(config: MonitoringConfig, model: Model) -> types.ModelMonitor:
    """Build the ModelMonitor of a version, without a resource name.

    Raises:
        PlatformError: the configuration lacks what only Vertex AI needs.
    """
    target = {"model": model.name, "model_version_id": model.version_id}
    fields = [
        {"name": feature, "data_type": _data_type(config, feature)}
        for feature in config.drift_thresholds
    ]
    return types.ModelMonitor(
        display_name=config.monitoring_job_display_name,
        model_monitoring_target={"vertex_model": target},
        training_dataset=training_dataset_input(config, model.version_id),
        tabular_objective=tabular_objective(config),
        notification_spec=notification_spec(config),
        output_spec=output_spec(config),
        model_monitoring_schema={"feature_fields": fields},
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
    return {"gcs_base_directory": {"output_uri_prefix": directory}} if directory else None


def difference(
    present: types.ModelMonitor | None, desired: types.ModelMonitor
) -> tuple[Change, ...]:
    """List what of the desired settings a monitor, None where it does not exist, has otherwise.

    What is empty and what is not there are the same. The first part of a path is the field of
    ModelMonitor that an update mask names.
    """
    before = {} if present is None else _settings_of(present)
    return tuple(
        Change(path, before.get(path), value)
        for path, value in _settings_of(desired).items()
        if (before.get(path) or None) != (value or None)
    )


def merged(present: types.ModelMonitor, desired: types.ModelMonitor) -> types.ModelMonitor:
    """Return a copy of a monitor with the configured settings; all others are kept."""
    monitor = types.ModelMonitor(present)
    source, target = types.ModelMonitor.pb(desired), types.ModelMonitor.pb(monitor)
    FieldMask(paths=_DECIDED).MergeMessage(source, target, True, True)
    return monitor


def _settings_of(monitor: types.ModelMonitor) -> dict[str, Any]:
    """Read the settings that the configuration decides, by dotted path."""
    text = types.ModelMonitor.to_json(
        monitor, use_integers_for_enums=False, preserving_proto_field_name=True
    )
    # Vertex AI answers with the project's number where the configuration has its id, and with the
    # monitor's own directory below the one that was given.
    own_directory = f'/model_monitoring/{monitor.name.rpartition("/")[2]}"'
    text = _PROJECT.sub('"', text.replace('/"', '"').replace(own_directory, '"'))
    return {path: value for path, value in _leaves(json.loads(text)) if path.startswith(_DECIDED)}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else name)
    else:
        yield path, sorted(value, key=str) if isinstance(value, list) else value


def _data_type(config: MonitoringConfig, feature: str) -> str:
    kind = config.feature_type(feature)
    if kind is None:
        raise PlatformError(
            f"the type of the feature {feature!r} is not configured, and Vertex AI needs it: "
            f'add "feature_types": {{"{feature}": "numerical"}} or "categorical"'
        )
    return _DATA_TYPES[kind]
