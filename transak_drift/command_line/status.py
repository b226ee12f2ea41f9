"""`transak-drift status`: what is monitored, which model predicts, what waits."""

from __future__ import annotations

from typing import Any

from transak_drift.assemble import platform_resource, trigger_queue_resource
from transak_drift.command_line.output import JsonOption, console, print_json, print_table
from transak_drift.settings import load_settings

_MOST_DEAD_LETTERS = 1_000


def status(as_json: JsonOption = False) -> None:
    """Show the model, its versions, the last monitoring results and the dead letters."""
    settings = load_settings()
    config = settings.load_config()
    overview = platform_resource(settings, config).open().overview(config)
    with trigger_queue_resource(settings).open(config) as queue:
        dead_letters = len(queue.list_dead_letters(_MOST_DEAD_LETTERS))
    document: dict[str, Any] = {
        "platform": settings.platform,
        "model": config.model_name,
        "model_monitor": overview.model_monitor,
        "subscription": config.trigger_subscription,
        "dead_letters": dead_letters,
        "model_versions": list(overview.model_versions),
        "monitoring_results": list(overview.monitoring_results),
    }
    if as_json:
        print_json(document)
        return
    console.print(f"[bold]{config.model_name}[/] on the {settings.platform} platform")
    console.print(f"model monitor: {overview.model_monitor or 'not applied yet'}")
    console.print(f"subscription: {config.trigger_subscription}, dead letters: {dead_letters}")
    print_table("Model versions", overview.model_versions, "none yet")
    print_table("Monitoring results, newest first", overview.monitoring_results, "none yet")
