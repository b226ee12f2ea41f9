"""The ModelMonitors of our model: one for each monitored version, whoever made it.

Vertex AI takes one monitor a version. It documents neither the error that a second one gets, nor
whether a monitor's target can be changed, nor a list filter on the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.api_core import exceptions
from google.cloud.aiplatform_v1.types import Model
from google.cloud.aiplatform_v1beta1.types import ModelMonitor

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.monitoring_job import OwnMonitors
from transak_drift.platform import AppliedModelMonitor, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import find_model, model_id, name_of_version
from transak_drift.vertex.monitor_spec import difference, merged, model_monitor

_MAX_ID_LENGTH = 63
_TARGET = "model_monitoring_target"
_REFUSED = (exceptions.AlreadyExists, exceptions.BadRequest, exceptions.MethodNotImplemented)


def own_monitors(connection: VertexConnection, config: MonitoringConfig) -> OwnMonitors:
    model = find_model(connection, config)
    monitors = monitors_of(connection, model)
    names = [model.name, *(monitor.name for monitor in monitors)]
    projects = {config.project_id, *(name.split("/")[1] for name in names)}
    if config.project_number is not None:
        projects.add(config.project_number)
    return OwnMonitors(
        projects=frozenset(projects),
        location=config.location,
        monitor_ids=tuple(id_of(monitor) for monitor in monitors),
    )


def monitors_of(connection: VertexConnection, model: Model) -> list[ModelMonitor]:
    """List the monitors of every version of a model."""
    return [item for item in _list(connection) if _target_of(item)[0] == model_id(model)]


def monitor_in_use(
    monitors: Sequence[ModelMonitor], config: MonitoringConfig, model: Model
) -> ModelMonitor | None:
    """Choose the monitor of the version that predicts, else the configured one."""
    configured = [item for item in monitors if id_of(item) == config.model_monitor_id]
    return _of_version([*configured, *monitors], model) or next(iter(configured), None)


def name_of(connection: VertexConnection, monitor: ModelMonitor) -> str:
    """Return the resource name of a monitor in the configured project and location."""
    return connection.name("modelMonitors", id_of(monitor))


def id_of(monitor: ModelMonitor) -> str:
    return monitor.name.rpartition("/")[2]


def read_monitor(connection: VertexConnection, name: str) -> ModelMonitor:
    return connection.call(connection.model_monitoring.get_model_monitor, name=name)


def apply_model_monitor(
    connection: VertexConnection, config: MonitoringConfig
) -> AppliedModelMonitor:
    """Make the ModelMonitor of the version that predicts as the configuration says.

    A monitor that the version has already is taken over, whatever its id. Without one, the
    monitor that the configuration names is given the version as its target; where Vertex AI
    refuses that, the version gets a monitor of its own, with the version in its id.

    Raises:
        PlatformError: the model cannot be resolved, the configured id is taken by another model's
            monitor, or a call is refused.
    """
    model = find_model(connection, config)
    desired = model_monitor(config, model)
    monitors = _list(connection)
    present = _of_version(monitors, model)
    if present is None:
        monitor_id = config.model_monitor_id
        configured = next((item for item in monitors if id_of(item) == monitor_id), None)
        if configured is not None and _target_of(configured)[0] != model_id(model):
            raise PlatformError(
                f"{configured.name} monitors "
                f"{configured.model_monitoring_target.vertex_model.model or 'no model'}, not "
                f"{model.name}: set another model_monitor_id in the configuration, or delete it"
            )
        if configured is not None and _retarget(connection, configured, desired):
            present = configured
        else:
            if configured is not None:
                monitor_id = version_monitor_id(monitor_id, model.version_id)
            if _create(connection, monitor_id, desired):
                name = connection.name("modelMonitors", monitor_id)
                return AppliedModelMonitor(name, created=True, changes=difference(None, desired))
            present = _await_monitor(connection, model)
    changes = difference(present, desired)
    mask = sorted({change.path.partition(".")[0] for change in changes} - {_TARGET})
    if mask:
        _update(connection, merged(present, desired), mask)
    return AppliedModelMonitor(name_of(connection, present), created=False, changes=changes)


def version_monitor_id(model_monitor_id: str, version: str) -> str:
    """Derive the id of a version's own monitor from the configured id, or number.

    It has at most 63 characters and matches `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`. Source:
    CreateModelMonitorRequest.model_monitor_id.
    """
    base = f"monitor-{model_monitor_id}" if model_monitor_id[0].isdigit() else model_monitor_id
    ending = f"-v{version}"
    return base[: _MAX_ID_LENGTH - len(ending)].rstrip("-") + ending


def _list(connection: VertexConnection) -> list[ModelMonitor]:
    list_monitors = connection.model_monitoring.list_model_monitors
    return connection.list_all(list_monitors, parent=connection.endpoint.parent)


def _target_of(monitor: ModelMonitor) -> tuple[str, str]:
    source = monitor.model_monitoring_target.vertex_model
    return source.model.partition("@")[0].rpartition("/")[2], source.model_version_id


def _of_version(monitors: Sequence[ModelMonitor], model: Model) -> ModelMonitor | None:
    wanted = (model_id(model), model.version_id)
    return next((item for item in monitors if _target_of(item) == wanted), None)


def _retarget(connection: VertexConnection, monitor: ModelMonitor, desired: ModelMonitor) -> bool:
    moved = ModelMonitor(monitor)
    moved.model_monitoring_target = desired.model_monitoring_target
    try:
        _update(connection, moved, [_TARGET])
    except exceptions.AlreadyExists:
        return False
    except PlatformError as error:
        if isinstance(error.__cause__, _REFUSED):
            return False
        raise
    # An update may succeed and leave out what it does not honour.
    return _target_of(read_monitor(connection, moved.name)) == _target_of(desired)


def _create(connection: VertexConnection, monitor_id: str, desired: ModelMonitor) -> bool:
    """Create a monitor; False where its id is taken or the version has one meanwhile."""
    try:
        connection.finish(
            connection.model_monitoring.create_model_monitor,
            parent=connection.endpoint.parent,
            model_monitor=desired,
            model_monitor_id=monitor_id,
        )
    except exceptions.AlreadyExists:
        return False
    except PlatformError as error:
        is_refused = isinstance(error.__cause__, exceptions.BadRequest)
        if is_refused and any(_target_of(m) == _target_of(desired) for m in _list(connection)):
            return False
        raise
    return True


def _await_monitor(connection: VertexConnection, model: Model) -> ModelMonitor:
    # Whoever was first may still be creating it.
    for _ in connection.limits.polls(connection.limits.operation_seconds):
        monitor = _of_version(_list(connection), model)
        if monitor is not None:
            return monitor
    raise PlatformError(
        f"a ModelMonitor of {name_of_version(model)} exists but cannot be read yet; run this again"
    )


def _update(connection: VertexConnection, monitor: ModelMonitor, mask: list[str]) -> None:
    monitor.name = name_of(connection, monitor)
    update = connection.model_monitoring.update_model_monitor
    connection.finish(update, model_monitor=monitor, update_mask={"paths": mask})
