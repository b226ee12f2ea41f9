"""Configurations for tests: the repository's own, and changes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig, parse_config

REPOSITORY = Path(__file__).parents[2]
CONFIG_FILE = REPOSITORY / "monitoring_config.json"


def document(**changes: Any) -> dict[str, Any]:
    """Return the repository's configuration as plain values, with some keys changed."""
    return {**json.loads(CONFIG_FILE.read_text(encoding="utf-8")), **changes}


def configuration(**changes: Any) -> MonitoringConfig:
    """Return the repository's configuration with some keys changed."""
    return parse_config(json.dumps(document(**changes)), "test")


def faults_of(text: str) -> dict[str, ConfigFault]:
    """Return the faults of a configuration's text by path; empty when there is none."""
    try:
        parse_config(text, "test")
    except ConfigError as error:
        assert error.faults, "a ConfigError without a fault helps nobody"
        return {fault.path: fault for fault in error.faults}
    return {}


def faults_after(**changes: Any) -> dict[str, ConfigFault]:
    """Return the faults of the repository's configuration with some keys changed."""
    return faults_of(json.dumps(document(**changes)))
