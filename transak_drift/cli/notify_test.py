"""`transak-drift notify-test`: send a test message on every configured channel."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from transak_drift.cli import output
from transak_drift.notifications.channels import (
    RefusedNotificationError,
    TemporaryNotificationError,
    configured_channels,
)
from transak_drift.notifications.texts import trial_notification
from transak_drift.settings import load_settings


def notify_test(model: output.ModelOption = None, as_json: output.JsonOption = False) -> None:
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
