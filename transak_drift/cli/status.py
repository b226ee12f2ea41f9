"""How things stand: `transak-drift status`, `doctor` and `notify-test`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import typer

from transak_drift.cli import output
from transak_drift.cli.output import JsonOption, ModelOption
from transak_drift.config.data_source import BATCH_PREDICTION, BIGQUERY, DataSource, names_window
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import platform_resource, trigger_queue_resource
from transak_drift.defs.drift_event_log import catch_up
from transak_drift.defs.drift_notification_sensor import configured_channels
from transak_drift.defs.gcp_resources import GcpPlatformResource, gcp_platform_resource
from transak_drift.defs.keys import DRIFT_EVENT, ModelNames
from transak_drift.google_cloud.inspection import Check, missing, passed, unknown
from transak_drift.notifications.channels import (
    RefusedNotificationError,
    TemporaryNotificationError,
)
from transak_drift.notifications.texts import trial_notification
from transak_drift.platform import PlatformError
from transak_drift.settings import Settings, load_settings
from transak_drift.trigger.approval import AWAIT_A_PERSON, NEWEST, Decision, decision_command
from transak_drift.trigger.inbox import Inbox, OutcomeKind

_MAX_DEAD_LETTERS = 1_000
_EVENT_LOG_SECONDS = 20.0
_MARKS = {"ok": "ok", "missing": "MISSING", "unknown": "?"}
_LOOKED_BACK = timedelta(days=30)


def status(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Show each model, its versions, the last monitoring results, and what waits."""
    settings = load_settings()
    documents = [_document(settings, config) for config in output.chosen_configs(settings, model)]
    if as_json:
        output.print_json(documents if len(documents) > 1 else documents[0])
        return
    for document in documents:
        _print_status(document)


def _document(settings: Settings, config: MonitoringConfig) -> dict[str, Any]:
    overview = platform_resource(settings).open(config).overview(config)
    with trigger_queue_resource(settings).open(config) as queue:
        dead_letters = len(queue.list_dead_letters(_MAX_DEAD_LETTERS))
    return {
        "platform": settings.platform,
        "model": config.model_name,
        "model_monitor": overview.model_monitor,
        "subscription": config.trigger_subscription,
        "dead_letters": dead_letters,
        "open_drift_events": _open_drift_events(settings, config),
        "model_versions": list(overview.model_versions),
        "monitoring_results": list(overview.monitoring_results),
    }


def _open_drift_events(settings: Settings, config: MonitoringConfig) -> list[dict[str, Any]] | None:
    """Return the drift events that are not answered yet, from Dagster's event log."""
    home = Path(os.environ.get("DAGSTER_HOME") or settings.home / "dagster_home").resolve()
    if not (home / "dagster.yaml").exists():
        return []
    inbox, deadline, now = Inbox(), time.monotonic() + _EVENT_LOG_SECONDS, datetime.now(UTC)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            catch_up(instance, ModelNames.of(config).asset(DRIFT_EVENT), inbox, deadline)
    except Exception as error:  # Any database's own; the rest of the status does not need it.
        text = str(error).strip().partition("\n")[0]
        output.print_note(f"the storage of {home} cannot be read: {type(error).__name__}: {text}")
        return None
    return [
        {
            "drift event": key,
            "state": str(item.kind),
            "since": f"{item.at:%Y-%m-%d %H:%M}",
            "waits": _duration(now - item.at),
            "window end": item.event and f"{item.event.window_end:%Y-%m-%d %H:%M}",
            "detail": item.detail or (item.event.summary() if item.event else ""),
        }
        for key, item in inbox.open.items()
    ]


def _duration(waited: timedelta) -> str:
    minutes = max(waited, timedelta(0)) // timedelta(minutes=1)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _print_status(document: Mapping[str, Any]) -> None:
    output.print_line(f"{document['model']} on the {document['platform']} platform", style="bold")
    output.print_line(f"model monitor: {document['model_monitor'] or 'not applied yet'}")
    waiting = f"dead letters: {document['dead_letters']}"
    output.print_line(f"subscription: {document['subscription']}, {waiting}")
    if document["open_drift_events"] is not None:
        events = document["open_drift_events"]
        output.print_table("Open drift events", events, "none")
        if any(event["state"] in AWAIT_A_PERSON for event in events):
            commands = " or ".join(decision_command(choice, NEWEST) for choice in Decision)
            output.print_line(f"a person decides, with {commands}")
        if any(event["state"] == OutcomeKind.AWAITING_LABELS for event in events):
            output.print_line("labels are awaited; transak-drift labels check counts them now")
    output.print_table("Model versions", document["model_versions"], "none yet")
    results = document["monitoring_results"]
    output.print_table("Monitoring results, newest first", results, "none yet")


def doctor(model: ModelOption = None, as_json: JsonOption = False) -> None:
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
        _print_checks(checks)
    if any(check.is_open for check in checks):
        raise typer.Exit(1)


def _inspect(settings: Settings, config: MonitoringConfig) -> list[Check]:
    # Google's clients take seconds to import, and only this command needs all of them.
    from transak_drift.google_cloud import inspection
    from transak_drift.google_cloud.session import RestSession
    from transak_drift.pubsub.inspection import inspect_trigger_queue
    from transak_drift.vertex.inspection import inspect_vertex

    permissions = list(inspection.VERTEX_PERMISSIONS)
    address = config.vertex.prediction_dataset or ""
    if address.startswith(BATCH_PREDICTION):
        permissions += inspection.BATCH_PREDICTION_PERMISSIONS
    is_counted = address.startswith(BIGQUERY) and not names_window(address)
    has_query = config.vertex.prediction_query or config.vertex.training_query
    if is_counted or has_query or config.labels is not None:
        permissions += inspection.QUERY_PERMISSIONS
    if settings.cancel_training_with_run:
        permissions += inspection.CANCEL_PERMISSIONS
    platform = gcp_platform_resource(settings)
    session = RestSession(settings.google_apis_url, settings.impersonate_service_account)
    since = datetime.now(UTC) - _LOOKED_BACK
    vertex = inspect_vertex(platform.connect(config), config, since)
    sink, writer = inspection.check_log_sink(session, config)
    channel = settings.trigger_channels.get(config.trigger_topic)
    number_check, number = inspection.check_project_number(session, config)
    publishers = {"log sink": writer} if writer else {}
    output_checks = []
    if number is not None and channel is not None:
        publishers["notification channel"] = inspection.agent("monitoring-notification", number)
    agent = None if number is None else inspection.agent("vertex-mm", number)
    if agent is not None and config.vertex.monitoring_output is not None:
        bucket = config.vertex.monitoring_output.removeprefix("gs://").partition("/")[0]
        output_checks.append(inspection.check_monitoring_output(session, bucket, agent))
    with trigger_queue_resource(settings).open(config) as queue:
        queue_checks = inspect_trigger_queue(
            queue, publishers, is_pulled=settings.trigger == "dagster"
        )
    return [
        number_check,
        inspection.check_permissions(session, config, permissions),
        *vertex.checks,
        _inspect_dataset(platform, config, "training", agent),
        _inspect_dataset(platform, config, "prediction", agent),
        *output_checks,
        sink,
        inspection.check_log_entries(
            session, config, vertex.monitor_ids, since, vertex.drifted_job
        ),
        inspection.check_notification_channel(session, config, channel),
        *queue_checks,
    ]


def _inspect_dataset(
    platform: GcpPlatformResource, config: MonitoringConfig, purpose: str, agent: str | None
) -> Check:
    """Look whether data are there; those of a window may not be written yet: none are asked for.

    A query is checked by BigQuery, and whether Vertex AI's monitoring agent, if it is known, may
    read what it reads in other projects.
    """
    from transak_drift.vertex.model_lookup import find_model
    from transak_drift.vertex.monitor_spec import prediction_source, training_source

    name = {"training": "baseline dataset", "prediction": "monitored dataset"}[purpose]
    key = f"{purpose}_dataset"
    address, query = getattr(config.vertex, key), getattr(config.vertex, f"{purpose}_query")
    if address is None and query is None:
        fix = "name the data in the configuration"
        return missing(name, f"neither vertex.{key} nor vertex.{purpose}_query is set", fix)
    if purpose == "prediction" and query is None and names_window(address):
        return passed(name, f"{address}, looked at by each window's run")
    window = config.windows.newest_ended(datetime.now(UTC))
    try:
        if purpose == "prediction":
            source = prediction_source(config, window)
        else:
            connection = platform.connect(config)
            source = training_source(connection, config, find_model(connection, config))
        if source.query:
            return _inspect_query(platform, config, name, source.query, agent)
        # Of a table with rows of all windows none are counted.
        found = platform.data(config).describe(DataSource(source.address), window)
    except PlatformError as error:
        named = f"vertex.{key}" if query is None else f"vertex.{purpose}_query"
        return missing(name, str(error), f"write the data, or correct {named}")
    rows = "" if found.rows is None else f", {found.rows} rows"
    return passed(name, f"{found.uri}{rows}")


def _inspect_query(
    platform: GcpPlatformResource,
    config: MonitoringConfig,
    name: str,
    query: str,
    agent: str | None,
) -> Check:
    data = platform.data(config)
    checked = data.check_query(query)
    read = f"the query would read {checked.processed_bytes} bytes of {', '.join(checked.tables)}"
    elsewhere = {table.rpartition(".")[0] for table in checked.tables}
    elsewhere = {item for item in elsewhere if not item.startswith(f"{config.project_id}.")}
    hidden = [item for item in sorted(elsewhere) if agent and not data.lets_read(item, agent)]
    if hidden:
        fix = f"grant roles/bigquery.dataViewer on {' and '.join(hidden)} to {agent}"
        detail = f"{read}; whether Vertex AI may read {' and '.join(hidden)} cannot be seen"
        return unknown(name, detail, fix)
    return passed(name, read)


def _print_checks(checks: Sequence[Check]) -> None:
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


def notify_test(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Send a test message on every configured channel; the status is 1 if one fails."""
    settings = load_settings()
    rows, failed = [], False
    for config in output.chosen_configs(settings, model):
        notification = trial_notification(config, datetime.now(UTC))
        for name, send in configured_channels(config, settings).items():
            try:
                result = send(notification) or "sent"
            except (RefusedNotificationError, TemporaryNotificationError) as error:
                result, failed = str(error), True
            rows.append({"model": config.model_name, "channel": name, "result": result})
    if as_json:
        output.print_json(rows)
    else:
        output.print_table(
            "Notifications", rows, "no model has the key notifications, nothing is sent"
        )
    if failed:
        raise typer.Exit(1)
