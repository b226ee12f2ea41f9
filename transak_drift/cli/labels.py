"""`transak-drift labels check`: whether the labels that drift events wait for are there."""

from __future__ import annotations

from typing import Any

import typer

from transak_drift.cli import output
from transak_drift.cli.approval import open_instance
from transak_drift.cli.output import JsonOption, ModelOption
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import platform_resource
from transak_drift.defs.labels import check_labels
from transak_drift.settings import load_settings
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord

labels = typer.Typer(help="Labels that drift events wait for.", no_args_is_help=True)


@labels.callback()
def _of_labels() -> None:
    """Labels that drift events wait for."""


@labels.command("check")
def check(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Count the labels of each drift event that awaits them now, and record what is new.

    Where they are complete the event trains at the next tick. The status is 1 where any lack.
    """
    settings = load_settings()
    configs = [c for c in output.chosen_configs(settings, model) if c.labels is not None]
    found: list[tuple[MonitoringConfig, TriggerRecord]] = []
    if configs:
        platform = platform_resource(settings)
        with open_instance(settings) as instance:
            for config in configs:
                records = check_labels(instance, platform.open(config), config)
                found += [(config, record) for record in records]
    if as_json:
        output.print_json([_document(config, record) for config, record in found])
    elif not found:
        what = "no drift event awaits labels" if configs else "no model has the key labels"
        output.print_line(what)
    else:
        for config, record in found:
            _print_record(config, record)
    if any(record.kind == OutcomeKind.AWAITING_LABELS for _, record in found):
        raise typer.Exit(1)


def _document(config: MonitoringConfig, record: TriggerRecord) -> dict[str, Any]:
    return {
        "model": config.model_name,
        "drift_event": record.key,
        "window": _window(config, record),
        "state": str(record.kind),
        "detail": record.detail,
        "labels": record.labels and record.labels.model_dump(mode="json"),
    }


def _window(config: MonitoringConfig, record: TriggerRecord) -> str:
    assert record.event is not None
    return config.windows.ending_at(record.event.window_end).key


def _print_record(config: MonitoringConfig, record: TriggerRecord) -> None:
    is_complete = record.kind == OutcomeKind.LABELS_COMPLETE
    head = f"{record.kind}: {config.model_name}, {_window(config, record)} ({record.key})"
    output.print_line(head, style="bold green" if is_complete else "bold yellow")
    problems = record.labels.problems if record.labels else ()
    for problem in problems or (record.detail,):
        output.print_line(f"  {problem}")
    if record.labels is not None:
        for title, name, items in (
            ("Rows without a label", record.labels.value_column, record.labels.without_label),
            ("Labelled rows", record.labels.column, record.labels.classes),
        ):
            rows = [{name or "value": item.name, "rows": item.rows} for item in items]
            output.print_table(title, rows, "none")
    if is_complete:
        output.print_line("drift_message_sensor requests its training at the next tick")
