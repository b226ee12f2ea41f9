"""What differs between a ModelMonitor as it is and as the configuration asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from transak_drift.platform import Change
from transak_drift.vertex.dataset_input import describe_input

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import ModelMonitor

_PROJECT = re.compile(r"^projects/[^/]+/")


def settings_of(monitor: ModelMonitor) -> dict[str, Any]:
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
        settings["output_spec.directory"] = directory.rstrip("/").removesuffix(own)
    return settings


def difference(present: ModelMonitor | None, desired: ModelMonitor) -> tuple[Change, ...]:
    """List the settings in which a monitor, None where it does not exist, differs from the desired.

    An output directory that only Vertex AI chose is no difference.
    """
    before = {} if present is None else settings_of(present)
    after = settings_of(desired)
    if "output_spec.directory" not in after:
        before.pop("output_spec.directory", None)
    return tuple(
        Change(path, before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    )


def mask_of(changes: tuple[Change, ...]) -> list[str]:
    """Return the fields of ModelMonitor that hold the changes, for an update mask."""
    return sorted({change.path.partition(".")[0] for change in changes})


def merged(present: ModelMonitor, desired: ModelMonitor) -> ModelMonitor:
    """Return a copy of a monitor with the configured settings; all others are kept."""
    from google.cloud.aiplatform_v1beta1 import types

    monitor = types.ModelMonitor(present)
    monitor.display_name = desired.display_name
    monitor.model_monitoring_target = desired.model_monitoring_target
    monitor.training_dataset = desired.training_dataset
    monitor.tabular_objective.feature_drift_spec = desired.tabular_objective.feature_drift_spec
    monitor.notification_spec = desired.notification_spec
    monitor.model_monitoring_schema.feature_fields = desired.model_monitoring_schema.feature_fields
    if desired.output_spec.gcs_base_directory.output_uri_prefix:
        monitor.output_spec = desired.output_spec
    return monitor
