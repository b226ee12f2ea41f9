"""`transak-drift doctor`: does all of the gcp platform exist, and does it agree?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import typer
from rich.markup import escape

from transak_drift.cli.output import (
    JsonOption,
    ModelOption,
    chosen_configs,
    console,
    print_json,
    print_line,
    print_table,
)
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.gcp_resources import (
    GcpPlatformResource,
    gcp_platform_resource,
    gcp_trigger_queue_resource,
)
from transak_drift.google_cloud.check import Check, CheckState, missing, passed
from transak_drift.platform import PlatformError
from transak_drift.settings import Settings, load_settings

_MARKS = {CheckState.OK: "ok", CheckState.MISSING: "MISSING", CheckState.UNKNOWN: "?"}
_LOOKED_BACK = timedelta(days=30)


def doctor(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Check, without changing anything, that all on Google Cloud exists and agrees.

    Exit status 1 if anything is open; 2 on the local platform, which has nothing to check.
    """
    settings = load_settings()
    configs = chosen_configs(settings, model)
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
        print_json([asdict(check) for check in checks])
    else:
        _print(checks)
    if any(check.is_open for check in checks):
        raise typer.Exit(1)


def _inspect(settings: Settings, config: MonitoringConfig) -> list[Check]:
    # Google's clients take seconds to import, and only this command needs all of them.
    from transak_drift.google_cloud.log_entries import check_log_entries
    from transak_drift.google_cloud.project_access import (
        agent,
        check_log_sink,
        check_monitoring_output,
        check_notification_channel,
        check_permissions,
        check_project_number,
    )
    from transak_drift.google_cloud.session import RestSession
    from transak_drift.pubsub.connection import connect
    from transak_drift.pubsub.inspection import inspect_trigger_queue
    from transak_drift.vertex.inspection import inspect_vertex

    platform = gcp_platform_resource(settings)
    session = RestSession(settings.google_apis_url, settings.impersonate_service_account)
    since = datetime.now(UTC) - _LOOKED_BACK
    vertex = inspect_vertex(platform.connect(config), config, since)
    sink, writer = check_log_sink(session, config)
    channel = settings.trigger_channels.get(config.trigger_topic)
    number_check, number = check_project_number(session, config)
    publishers = {"log sink": writer}
    output_checks = []
    if number is not None and channel is not None:
        publishers["notification channel"] = agent("monitoring-notification", number)
    if number is not None and config.vertex.monitoring_output is not None:
        bucket = config.vertex.monitoring_output.removeprefix("gs://").partition("/")[0]
        monitoring_agent = agent("vertex-mm", number)
        output_checks.append(check_monitoring_output(session, bucket, monitoring_agent))
    queue = gcp_trigger_queue_resource(settings)
    clients = connect(queue.endpoint(), queue.service_account())
    try:
        return [
            number_check,
            check_permissions(session, config, _permissions(settings, config)),
            *vertex.checks,
            *_inspect_datasets(platform, config),
            *output_checks,
            sink,
            check_log_entries(session, config, vertex.monitor_ids, since, vertex.drifted_job),
            check_notification_channel(session, config, channel),
            *inspect_trigger_queue(
                clients,
                config,
                {name: principal for name, principal in publishers.items() if principal},
                is_pulled=settings.trigger == "dagster",
            ),
        ]
    finally:
        clients.close()


def _permissions(settings: Settings, config: MonitoringConfig) -> list[str]:
    from transak_drift.google_cloud import project_access
    from transak_drift.vertex.dataset_input import BATCH_PREDICTION

    needed = list(project_access.VERTEX_PERMISSIONS)
    if (config.vertex.prediction_dataset or "").startswith(BATCH_PREDICTION):
        needed += project_access.BATCH_PREDICTION_PERMISSIONS
    if settings.cancel_training_with_run:
        needed += project_access.CANCEL_PERMISSIONS
    return needed


def _inspect_datasets(platform: GcpPlatformResource, config: MonitoringConfig) -> list[Check]:
    return [
        _inspect_dataset(platform, config, "baseline dataset", "training_dataset"),
        _inspect_dataset(platform, config, "monitored dataset", "prediction_dataset"),
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
        found = opened.data.describe(address.replace("{model_version}", version), today, None)
    except PlatformError as error:
        return missing(name, str(error), "write the data, or correct the address")
    rows = "" if found.rows is None else f", {found.rows} rows"
    return passed(name, f"{found.uri}{rows}")


def _print(checks: Sequence[Check]) -> None:
    print_table(
        "Checks of the gcp platform",
        [
            {
                "check": check.name,
                "": _MARKS[check.state],
                "found": check.detail,
                "fix": check.fix,
            }
            for check in checks
        ],
        "nothing to check",
    )
    for check in checks:
        if check.example:
            console.print(f"[bold]{escape(check.name)}[/], as found:")
            print_line(check.example)
    open_checks = [check.name for check in checks if check.is_open]
    if open_checks:
        console.print(f"[bold red]{len(open_checks)} open[/]: {escape(', '.join(open_checks))}")
    else:
        console.print("[bold green]everything exists and agrees[/]")
