"""Calls the commands as a person or a script does, in the process of the test."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from typer.testing import CliRunner, Result

from transak_drift.cli.main import app
from transak_drift.definitions import platform_resource
from transak_drift.settings import load_settings


def call(*words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, list(words), input=stdin, catch_exceptions=False)


def document(*words: str, stdin: bytes = b"") -> Any:
    """Return what a command that succeeds writes as JSON."""
    result = call(*words, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def monitor(*days: date) -> list[str]:
    """Monitor days as the jobs do, and return the resource names of their monitoring jobs."""
    settings = load_settings()
    config = settings.load_config()
    platform = platform_resource(settings).open(config)
    platform.ensure_registered_model(config)
    platform.apply_model_monitor(config)
    names = []
    for day in days:
        window = config.windows.of_day(day)
        platform.land_transactions(config, window)
        platform.predict(config, window)
        names.append(platform.start_monitoring_run(config, window).job_name)
    return names
