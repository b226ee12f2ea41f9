"""The ModelMonitors of our model, one for each monitored version, and the jobs started on them.

Vertex AI takes one monitor a version. It documents neither the error that a second one gets, nor
whether a monitor's target can be changed, nor a list filter on the model.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence

from google.api_core import exceptions
from google.cloud.aiplatform_v1.types import Model
from google.cloud.aiplatform_v1beta1.types import JobState as State
from google.cloud.aiplatform_v1beta1.types import (
    ModelMonitor,
    ModelMonitoringJob,
    ModelMonitoringSpec,
)

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.platform import AppliedModelMonitor, PlatformError, StartedMonitoringRun
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import find_model, model_id, name_of_version
from transak_drift.vertex.monitor_spec import (
    describe_input,
    difference,
    merged,
    model_monitor,
    shared_settings,
    target_dataset_input,
)

FAILED = (State.JOB_STATE_FAILED, State.JOB_STATE_CANCELLED, State.JOB_STATE_EXPIRED)

_MAX_ID_LENGTH = 63
_TARGET = "model_monitoring_target"
_REFUSED = (exceptions.AlreadyExists, exceptions.BadRequest, exceptions.MethodNotImplemented)


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


def apply_model_monitor(
    connection: VertexConnection, config: MonitoringConfig
) -> AppliedModelMonitor:
    """Make the ModelMonitor of the version that predicts as the configuration says.

    A monitor that the version has already is taken over, whatever its id. Without one, the
    monitor that the configuration names is given the version as its target; where Vertex AI
    refuses that, the version gets a monitor of its own, with the version in its id.
    """
    model = find_model(connection, config)
    desired = model_monitor(connection, config, model)
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
    """Derive the id of a version's own monitor, of at most 63 characters, from the configured.

    It matches `[a-z]([a-z0-9-]{0,61}[a-z0-9])?` (CreateModelMonitorRequest.model_monitor_id).
    """
    base = f"monitor-{model_monitor_id}" if model_monitor_id[0].isdigit() else model_monitor_id
    ending = f"-v{version}"
    return base[: _MAX_ID_LENGTH - len(ending)].rstrip("-") + ending


def start_monitoring_run(
    connection: VertexConnection,
    config: MonitoringConfig,
    window: Window,
    batch_prediction_job: str | None = None,
) -> StartedMonitoringRun:
    """Start the comparison of a window's data with the baseline, and return within seconds.

    The data are the output of a BatchPredictionJob, given its resource name, or those of
    `vertex.prediction_dataset` or `vertex.prediction_query`. The job's id is made of the window and
    of what is compared, so that a repeated start is answered ALREADY_EXISTS and finds the job of
    the first; only a job that failed is followed by another.
    """
    model = find_model(connection, config)
    monitor = monitor_in_use(monitors_of(connection, model), config, model)
    if monitor is None:
        raise PlatformError(
            f"no ModelMonitor of {name_of_version(model)} exists; materialize model_monitor first"
        )
    parent = name_of(connection, monitor)
    if not describe_input(monitor.training_dataset):
        raise PlatformError(
            f"{parent} has no baseline; set vertex.training_dataset or vertex.training_query in "
            "the configuration and materialize model_monitor"
        )
    # A job with a specification of its own takes nothing from the monitor, so all is given.
    settings = shared_settings(config)
    objective = {
        "tabular_objective": settings.pop("tabular_objective"),
        "baseline_dataset": monitor.training_dataset,
        "target_dataset": target_dataset_input(connection, config, window, batch_prediction_job),
    }
    spec = ModelMonitoringSpec(objective_spec=objective, **settings)
    # At most 63 characters of a-z, 0-9 and - ("CreateModelMonitoringJobRequest").
    document = json.dumps(ModelMonitoringSpec.to_dict(spec), sort_keys=True)
    digest = hashlib.sha256(document.encode()).hexdigest()[:12]
    job_id = base = f"{window.length}-{window.key.replace('-', '')}-{digest}"
    display_name = f"{config.monitoring_job_display_name[:110]} {window.key}"
    job = ModelMonitoringJob(display_name=display_name, model_monitoring_spec=spec)
    for attempt in itertools.count(2):
        if _create_or_adopt(connection, parent, job, job_id).state not in FAILED:
            break
        job_id = f"{base}-{attempt}"
    return StartedMonitoringRun(f"{parent}/modelMonitoringJobs/{job_id}")


def _list(connection: VertexConnection) -> list[ModelMonitor]:
    list_monitors = connection.model_monitoring.list_model_monitors
    return connection.list_all(list_monitors, parent=connection.parent)


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
    get_monitor = connection.model_monitoring.get_model_monitor
    return _target_of(connection.call(get_monitor, name=moved.name)) == _target_of(desired)


def _create(connection: VertexConnection, monitor_id: str, desired: ModelMonitor) -> bool:
    """Create a monitor; False where its id is taken or the version has one meanwhile."""
    try:
        connection.finish(
            connection.model_monitoring.create_model_monitor,
            parent=connection.parent,
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


def _create_or_adopt(
    connection: VertexConnection, parent: str, job: ModelMonitoringJob, job_id: str
) -> ModelMonitoringJob:
    try:
        return connection.call(
            connection.model_monitoring.create_model_monitoring_job,
            parent=parent,
            model_monitoring_job=job,
            model_monitoring_job_id=job_id,
        )
    except exceptions.AlreadyExists:
        name = f"{parent}/modelMonitoringJobs/{job_id}"
        found = connection.find(connection.model_monitoring.get_model_monitoring_job, name)
        if found is None:
            raise PlatformError(f"{name} was deleted meanwhile; run this again") from None
        return found
