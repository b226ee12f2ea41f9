"""Dagster's own directory for the commands of this project."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path

from transak_drift.platform import PlatformError

CODE_MODULE = "transak_drift.definitions"
CODE_LOCATION = "transak_drift"
# Of a run in a command's own process: its log goes to the Dagster instance all the same.
QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def dagster_home(home: Path) -> Path:
    """Return DAGSTER_HOME, or else the directory for Dagster's history in the platform's home."""
    given = os.environ.get("DAGSTER_HOME")
    if not given:
        return make_dagster_home(home / "dagster_home")
    if not Path(given).is_absolute() or not Path(given).is_dir():
        raise PlatformError(
            f"DAGSTER_HOME = {given!r} is not the absolute path of a directory; make it, or unset "
            "DAGSTER_HOME"
        )
    return Path(given)


def existing_dagster_home(home: Path) -> Path | None:
    """Return the directory of `dagster_home` if it has been used, without making anything."""
    directory = Path(os.environ.get("DAGSTER_HOME") or home / "dagster_home")
    return directory.resolve() if (directory / "dagster.yaml").exists() else None


def make_dagster_home(directory: Path) -> Path:
    """Make a directory for Dagster's history; instance settings that are there are kept."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    settings = directory / "dagster.yaml"
    if not settings.exists():
        settings.write_bytes((files("transak_drift") / "dagster.yaml").read_bytes())
    return directory


def write_workspace(directory: Path, socket: Path | None = None) -> Path:
    """Write a workspace file; without a code server's socket each service starts its own.

    Dagster keeps a sensor's cursor and run keys by the location's name: under another name the
    sensor would start from the beginning.
    """
    location = {"python_module": {"module_name": CODE_MODULE, "location_name": CODE_LOCATION}}
    if socket is not None:
        location = {"grpc_server": {"socket": str(socket), "location_name": CODE_LOCATION}}
    directory.mkdir(parents=True, exist_ok=True)
    file = directory.resolve() / "workspace.yaml"
    file.write_text(json.dumps({"load_from": [location]}), encoding="utf-8")
    return file
