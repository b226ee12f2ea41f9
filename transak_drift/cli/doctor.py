"""`transak-drift doctor`: does all of the gcp platform exist, and does it agree?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import typer

from transak_drift.cli import output
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.gcp_resources import (
    GcpPlatformResource,
    gcp_platform_resource,
    gcp_trigger_queue_resource,
)
from transak_drift.google_cloud.check import Check, missing, passed
from transak_drift.platform import PlatformError
from transak_drift.settings import Settings, load_settings

_MARKS = {"ok": "ok", "missing": "MISSING", "unknown": "?"}
_LOOKED_BACK = timedelta(days=30)


def doctor(model: output.ModelOption = None, as_json: output.JsonOption = False) -> None:
    """Check, without changing anything, that all on Google Cloud exists and agrees.

    Exit status 1 if anything is open; 2 on the local platform, which has nothing to check.
    """
    settings = load_settings()
    configs = output.chosen_configs(settings, model)
    if settings.platform != "gcp":
        raise PlatformError(
            "doctor checks the gcp platform, and the local one is chosen; set "
            "TRANSAK_DRIFT_PLATFORM=gcp"
        )
    checks = [
        check if len(configs) == 1 else replace(check, name=f"{config.model_name}: {check.name}")
        for config in configs
        for check in _inspect(settings, config)
    ]
    if as_json:
        output.print_json([asdict(check) for check in checks])
    else:
        _print(checks)
    if any(check.is_open for check in checks):
        raise typer.Exit(1)


def _inspect(settings: Settings, config: MonitoringConfig) -> list[Check]:
    # Google's clients take seconds to import, and only this command needs all of them.
    from transak_drift.google_cloud import project_access
    from transak_drift.google_cloud.log_entries import check_log_entries
    from transak_drift.google_cloud.session import RestSession
    from transak_drift.pubsub.inspection import inspect_trigger_queue
    from transak_drift.vertex.inspection import inspect_vertex
    from transak_drift.vertex.monitor_spec import BATCH_PREDICTION

    permissions = list(project_access.VERTEX_PERMISSIONS)
    if (config.vertex.prediction_dataset or "").startswith(BATCH_PREDICTION):
        permissions += project_access.BATCH_PREDICTION_PERMISSIONS
    if settings.cancel_training_with_run:
        permissions += project_access.CANCEL_PERMISSIONS
    platform = gcp_platform_resource(settings)
    session = RestSession(settings.google_apis_url, settings.impersonate_service_account)
    since = datetime.now(UTC) - _LOOKED_BACK
    vertex = inspect_vertex(platform.connect(config), config, since)
    sink, writer = project_access.check_log_sink(session, config)
    channel = settings.trigger_channels.get(config.trigger_topic)
    number_check, number = project_access.check_project_number(session, config)
    publishers = {"log sink": writer} if writer else {}
    output_checks = []
    if number is not None and channel is not None:
        publishers["notification channel"] = project_access.agent("monitoring-notification", number)
    if number is not None and config.vertex.monitoring_output is not None:
        bucket = config.vertex.monitoring_output.removeprefix("gs://").partition("/")[0]
        agent = project_access.agent("vertex-mm", number)
        output_checks.append(project_access.check_monitoring_output(session, bucket, agent))
    with gcp_trigger_queue_resource(settings).open(config) as queue:
        queue_checks = inspect_trigger_queue(
            queue, publishers, is_pulled=settings.trigger == "dagster"
        )
    return [
        number_check,
        project_access.check_permissions(session, config, permissions),
        *vertex.checks,
        _inspect_dataset(platform, config, "baseline dataset", "training_dataset"),
        _inspect_dataset(platform, config, "monitored dataset", "prediction_dataset"),
        *output_checks,
        sink,
        check_log_entries(session, config, vertex.monitor_ids, since, vertex.drifted_job),
        project_access.check_notification_channel(session, config, channel),
        *queue_checks,
    ]


def _inspect_dataset(
    platform: GcpPlatformResource, config: MonitoringConfig, name: str, key: str
) -> Check:
    """Look whether data are there; those of a day may not be written yet, so none are asked for."""
    address = getattr(config.vertex, key)
    if address is None:
        return missing(name, f"vertex.{key} is not set", "name the data in the configuration")
    if "{date" in address or address.startswith("batchPredictionJobs/"):
        return passed(name, f"{address}, looked at by each day's run")
    opened = platform.open(config)
    try:
        version = ""
        if "{model_version}" in address:
            version = opened.ensure_registered_model(config).version or ""
        today = datetime.now(UTC).date()
        found = opened.find_data(address.replace("{model_version}", version), today, None)
    except PlatformError as error:
        return missing(name, str(error), "write the data, or correct the address")
    rows = "" if found.rows is None else f", {found.rows} rows"
    return passed(name, f"{found.uri}{rows}")


def _print(checks: Sequence[Check]) -> None:
    rows = [
        {"check": check.name, "": _MARKS[check.state], "found": check.detail, "fix": check.fix}
        for check in checks
    ]
    output.print_table("Checks of the gcp platform", rows, "nothing to check")
    for check in checks:
        if check.example:
            output.print_line(f"{check.name}, as found:\n{check.example}")
    open_checks = [check.name for check in checks if check.is_open]
    if open_checks:
        output.print_line(f"{len(open_checks)} open: {', '.join(open_checks)}", style="bold red")
    else:
        output.print_line("everything exists and agrees", style="bold green")
