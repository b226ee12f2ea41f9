"""Dagster's own directory for the commands of this project."""

from __future__ import annotations

import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path


def prepare_dagster_home(home: Path) -> Path:
    """Return the directory that holds Dagster's history.

    Args:
        home: the local platform's directory.

    Returns:
        DAGSTER_HOME where it is set, otherwise `<home>/dagster_home`, made with this project's
        instance settings.
    """
    given = os.environ.get("DAGSTER_HOME")
    if given:
        return Path(given)
    directory = (home / "dagster_home").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "dagster.yaml"
    if not target.exists():
        with as_file(files("transak_drift") / "dagster.yaml") as source:
            shutil.copyfile(source, target)
    return directory
