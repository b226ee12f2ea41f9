"""The ModelMonitor of the local platform: the configuration as applied, kept in a file."""

from __future__ import annotations

import json
from typing import Any

from filelock import FileLock

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import model_monitor_name
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.state_directory import StateDirectory
from transak_drift.platform import AppliedModelMonitor, Change, PlatformError


def apply_model_monitor(state: StateDirectory) -> AppliedModelMonitor:
    """Create or update the stored ModelMonitor; without a difference nothing is written."""
    config = state.config
    name = model_monitor_name(config.project_id, config.location, config.model_monitor_id)
    state.model.mkdir(parents=True, exist_ok=True)
    with FileLock(state.model_monitor.with_suffix(".lock")):
        stored = _load(state)
        desired = _desired_settings(config)
        before = stored or {}
        changes = tuple(
            Change(path, before.get(path), desired.get(path))
            for path in sorted({*before, *desired})
            if before.get(path) != desired.get(path)
        )
        if changes:
            document = json.dumps({"name": name, "settings": desired}, indent=2)
            with replace_file(state.model_monitor) as temporary:
                temporary.write_text(document, encoding="utf-8")
    return AppliedModelMonitor(name, created=stored is None, changes=changes)


def _desired_settings(config: MonitoringConfig) -> dict[str, Any]:
    thresholds, kinds = config.drift_thresholds, config.feature_types
    return {
        "displayName": config.monitoring_job_display_name,
        "model": config.model_name,
        **{f"featureThresholds.{feature}": value for feature, value in thresholds.items()},
        **{f"featureTypes.{feature}": kind for feature, kind in kinds.items()},
        "notification.enableCloudLogging": config.log_anomalies,
        "notification.channels": list(config.notification_channels),
        "notification.userEmails": list(config.user_emails),
    }


def _load(state: StateDirectory) -> dict[str, Any] | None:
    try:
        return json.loads(state.model_monitor.read_text(encoding="utf-8"))["settings"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise PlatformError(
            f"{state.model_monitor} is not a stored ModelMonitor ({error}); delete it and "
            "materialize model_monitor again"
        ) from error
