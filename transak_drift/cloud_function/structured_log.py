"""One JSON object a line, as Cloud Logging takes it from a function's standard output.

Source: "Structured logging", Cloud Logging documentation.
"""

from __future__ import annotations

import json
import sys
import traceback


def write_entry(
    severity: str, message: str, *, error: BaseException | None = None, **fields: object
) -> None:
    """Write an entry, with the stack trace of an error; a field that is None is left out."""
    if error is not None:
        # Error Reporting finds the stack trace within the message.
        message = f"{message}\n{''.join(traceback.format_exception(error))}"
    shown = {name: value for name, value in fields.items() if value is not None}
    entry = {**shown, "severity": severity, "message": message}
    sys.stdout.write(json.dumps(entry, default=str) + "\n")
    sys.stdout.flush()
