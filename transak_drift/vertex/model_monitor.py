"""Creates and updates the ModelMonitor, so that there is never a second one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from google.api_core import exceptions

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import model_monitor_name
from transak_drift.platform import AppliedModelMonitor, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import RegistryVersion, find_model
from transak_drift.vertex.monitor_difference import difference, mask_of, merged
from transak_drift.vertex.monitor_spec import model_monitor

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import ModelMonitor


def apply_model_monitor(
    connection: VertexConnection, config: MonitoringConfig
) -> AppliedModelMonitor:
    """Make the ModelMonitor as the configuration says.

    The monitor's id comes from the configuration, so that of two appliers at once the second is
    answered ALREADY_EXISTS, and goes on with the monitor of the first.

    Args:
        connection: the location's clients.
        config: the configuration.

    Returns:
        What was done; without a difference nothing is written.

    Raises:
        PlatformError: the model cannot be resolved, a monitor of that name exists under another
            id, or a call is refused.
    """
    model = find_model(connection, config)
    desired = model_monitor(config, model)
    name = monitor_name(connection, config)
    present = find_model_monitor(connection, config)
    if present is None:
        _refuse_second_monitor(connection, config, model)
        if _create(connection, config, desired):
            return AppliedModelMonitor(name, created=True, changes=difference(None, desired))
        present = _await_model_monitor(connection, config)
    changes = difference(present, desired)
    if changes:
        _update(connection, merged(present, desired), mask_of(changes))
    return AppliedModelMonitor(name, created=False, changes=changes)


def monitor_name(connection: VertexConnection, config: MonitoringConfig) -> str:
    """Return the resource name of the configured ModelMonitor, with the project's id."""
    endpoint = connection.endpoint
    return model_monitor_name(endpoint.project_id, endpoint.location, config.model_monitor_id)


def find_model_monitor(
    connection: VertexConnection, config: MonitoringConfig
) -> ModelMonitor | None:
    """Read the configured ModelMonitor.

    Args:
        connection: the location's clients.
        config: names it.

    Returns:
        The monitor, or None where it does not exist.

    Raises:
        PlatformError: it cannot be read.
    """
    from google.cloud.aiplatform_v1beta1 import types

    name = monitor_name(connection, config)
    with connection.explained("aiplatform.modelMonitors.get", name):
        try:
            return connection.model_monitoring.get_model_monitor(
                request=types.GetModelMonitorRequest(name=name), **connection.limits.options()
            )
        except exceptions.NotFound:
            return None


def _refuse_second_monitor(
    connection: VertexConnection, config: MonitoringConfig, model: RegistryVersion
) -> None:
    from google.cloud.aiplatform_v1beta1 import types

    parent = connection.endpoint.parent
    own = monitor_name(connection, config).rpartition("/")[2]
    with connection.explained("aiplatform.modelMonitors.list", parent):
        monitors = list(
            connection.model_monitoring.list_model_monitors(
                request=types.ListModelMonitorsRequest(parent=parent, page_size=100),
                **connection.limits.options(),
            )
        )
    model_id = model.model.rpartition("/")[2]
    same = [
        monitor.name
        for monitor in monitors
        if monitor.display_name == config.monitoring_job_display_name
        and monitor.model_monitoring_target.vertex_model.model.rpartition("/")[2] == model_id
        and monitor.name.rpartition("/")[2] != own
    ]
    if same:
        raise PlatformError(
            f"a ModelMonitor named {config.monitoring_job_display_name!r} of {model.model} exists "
            f"with another id ({', '.join(same)}): a second one would monitor everything twice; "
            f'set "model_monitor_id": "{same[0].rpartition("/")[2]}" in the configuration to use '
            "it (the log sink's filter takes the id from there), or delete it"
        )


def _create(connection: VertexConnection, config: MonitoringConfig, desired: ModelMonitor) -> bool:
    from google.cloud.aiplatform_v1beta1 import types

    parent = connection.endpoint.parent
    client = connection.model_monitoring
    request = types.CreateModelMonitorRequest(
        parent=parent, model_monitor=desired, model_monitor_id=config.model_monitor_id
    )
    with connection.explained("aiplatform.modelMonitors.create", parent):
        try:
            operation = client.create_model_monitor(request=request, **connection.limits.options())
            connection.limits.wait_for(
                operation, client.transport.operations_client, "the creation of the ModelMonitor"
            )
        except exceptions.AlreadyExists:
            return False
    return True


def _await_model_monitor(connection: VertexConnection, config: MonitoringConfig) -> ModelMonitor:
    # The one that was first may still be creating it.
    deadline = time.monotonic() + connection.limits.operation_seconds
    for wait in connection.limits.poll_waits():
        monitor = find_model_monitor(connection, config)
        if monitor is not None:
            return monitor
        if time.monotonic() > deadline:
            break
        time.sleep(wait)
    raise PlatformError(
        f"{monitor_name(connection, config)} exists but cannot be read yet; run this again"
    )


def _update(connection: VertexConnection, monitor: ModelMonitor, mask: list[str]) -> None:
    from google.cloud.aiplatform_v1beta1 import types

    client = connection.model_monitoring
    request = types.UpdateModelMonitorRequest(model_monitor=monitor, update_mask={"paths": mask})
    with connection.explained("aiplatform.modelMonitors.update", monitor.name):
        operation = client.update_model_monitor(request=request, **connection.limits.options())
        connection.limits.wait_for(
            operation, client.transport.operations_client, "the update of the ModelMonitor"
        )
