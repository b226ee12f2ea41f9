"""`transak-drift status`: what is monitored, which model predicts, what waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from transak_drift.cli.output import (
    JsonOption,
    ModelOption,
    console,
    print_json,
    print_table,
)
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import platform_resource, trigger_queue_resource
from transak_drift.settings import Settings, load_settings

_MOST_DEAD_LETTERS = 1_000


def status(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Show each model, its versions, the last monitoring results and the dead letters."""
    settings = load_settings()
    configs = settings.load_configs() if model is None else [settings.load_config(model)]
    documents = [_document(settings, config) for config in configs]
    if as_json:
        print_json(documents if len(documents) > 1 else documents[0])
        return
    for document in documents:
        _print(document)


def _document(settings: Settings, config: MonitoringConfig) -> dict[str, Any]:
    overview = platform_resource(settings).open(config).overview(config)
    with trigger_queue_resource(settings).open(config) as queue:
        dead_letters = len(queue.list_dead_letters(_MOST_DEAD_LETTERS))
    return {
        "platform": settings.platform,
        "model": config.model_name,
        "model_monitor": overview.model_monitor,
        "subscription": config.trigger_subscription,
        "dead_letters": dead_letters,
        "model_versions": list(overview.model_versions),
        "monitoring_results": list(overview.monitoring_results),
    }


def _print(document: Mapping[str, Any]) -> None:
    console.print(f"[bold]{escape(document['model'])}[/] on the {document['platform']} platform")
    console.print(f"model monitor: {document['model_monitor'] or 'not applied yet'}")
    console.print(
        f"subscription: {document['subscription']}, dead letters: {document['dead_letters']}"
    )
    print_table("Model versions", document["model_versions"], "none yet")
    print_table("Monitoring results, newest first", document["monitoring_results"], "none yet")
