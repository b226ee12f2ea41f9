"""Dagster's own directory for the commands of this project."""

from __future__ import annotations

import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path


def dagster_home(home: Path) -> Path:
    """Return the directory that holds Dagster's history.

    Args:
        home: the local platform's directory.

    Returns:
        DAGSTER_HOME where it is set, as it is; otherwise `<home>/dagster_home`, made with this
        project's instance settings.
    """
    given = os.environ.get("DAGSTER_HOME")
    return Path(given) if given else make_dagster_home(home / "dagster_home")


def make_dagster_home(directory: Path) -> Path:
    """Make a directory for Dagster's history, with this project's instance settings.

    Args:
        directory: the directory; settings that are there already are kept.

    Returns:
        The directory, absolute.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "dagster.yaml"
    if not target.exists():
        with as_file(files("transak_drift") / "dagster.yaml") as source:
            shutil.copyfile(source, target)
    return directory


def write_workspace(home: Path) -> Path:
    """Write the workspace file, which names the code location as the repository's own does.

    Dagster keeps a sensor's cursor and run keys by the location's name: under another name the
    sensor would begin anew.

    Args:
        home: the local platform's directory.

    Returns:
        The file.
    """
    home.mkdir(parents=True, exist_ok=True)
    file = home.resolve() / "workspace.yaml"
    file.write_text(
        "load_from:\n"
        "  - python_module:\n"
        "      module_name: transak_drift.definitions\n"
        "      location_name: transak_drift\n",
        encoding="utf-8",
    )
    return file
