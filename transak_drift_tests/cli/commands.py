"""Calls the commands as a person or a script does, in the process of the test."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from transak_drift.cli.main import app


def call(*words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, list(words), input=stdin, catch_exceptions=False)


def document(*words: str, stdin: bytes = b"") -> Any:
    """Return what a command that succeeds writes as JSON."""
    result = call(*words, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
