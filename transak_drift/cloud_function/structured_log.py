"""One JSON object a line, as Cloud Logging takes it from a function's standard output.

Source: "Structured logging", Cloud Logging documentation.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_FIELDS = "fields"


class StructuredFormatter(logging.Formatter):
    """Writes `severity`, `message`, `time` and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            # Error Reporting finds the stack trace within the message.
            message = f"{message}\n{self.formatException(record.exc_info)}"
        return json.dumps(
            {
                **getattr(record, _FIELDS, {}),
                "severity": record.levelname,
                "message": message,
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            },
            default=str,
        )


def structured_logger() -> logging.Logger:
    """Return the function's logger, which writes to standard output and nowhere else."""
    logger = logging.getLogger("transak_drift.cloud_function")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(StructuredFormatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        # The functions framework writes the root logger's records as plain text.
        logger.propagate = False
    return logger


def with_fields(**fields: object) -> dict[str, dict[str, object]]:
    """Return the `extra` of a log call that adds fields to the entry; None is left out."""
    return {_FIELDS: {name: value for name, value in fields.items() if value is not None}}
