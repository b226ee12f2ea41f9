"""`transak-drift status`: what is monitored, which model predicts, what waits."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from transak_drift.cli import output
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import platform_resource, trigger_queue_resource
from transak_drift.defs.drift_event_log import catch_up
from transak_drift.defs.keys import DRIFT_EVENT, ModelNames
from transak_drift.settings import Settings, load_settings
from transak_drift.trigger.inbox import Inbox

_MAX_DEAD_LETTERS = 1_000
_EVENT_LOG_SECONDS = 20.0


def status(model: output.ModelOption = None, as_json: output.JsonOption = False) -> None:
    """Show each model, its versions, the last monitoring results, and what waits."""
    settings = load_settings()
    documents = [_document(settings, config) for config in output.chosen_configs(settings, model)]
    if as_json:
        output.print_json(documents if len(documents) > 1 else documents[0])
        return
    for document in documents:
        _print(document)


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
    inbox, deadline = Inbox(), time.monotonic() + _EVENT_LOG_SECONDS
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
            "window end": item.event and f"{item.event.window_end:%Y-%m-%d %H:%M}",
            "error": item.detail,
        }
        for key, item in inbox.open.items()
    ]


def _print(document: Mapping[str, Any]) -> None:
    output.print_line(f"{document['model']} on the {document['platform']} platform", style="bold")
    output.print_line(f"model monitor: {document['model_monitor'] or 'not applied yet'}")
    waiting = f"dead letters: {document['dead_letters']}"
    output.print_line(f"subscription: {document['subscription']}, {waiting}")
    if document["open_drift_events"] is not None:
        output.print_table("Open drift events", document["open_drift_events"], "none")
    output.print_table("Model versions", document["model_versions"], "none yet")
    results = document["monitoring_results"]
    output.print_table("Monitoring results, newest first", results, "none yet")
