"""Virtual environments of the peers, whose requirements exclude this project's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = Path(__file__).parent / "requirements"
_ENVIRONMENTS = Path(__file__).parent / ".environments"


class EnvironmentUnavailableError(Exception):
    """A peer cannot be installed here; the message says why."""


def peer_python(name: str) -> Path:
    """Return the Python of a peer's virtual environment; made when it is missing."""
    directory = _ENVIRONMENTS / name
    python = directory / "bin" / "python"
    installed = directory / "installed"
    if installed.exists():
        return python
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(directory)],
        [python, "-m", "pip", "install", "--quiet", "-r", str(_REQUIREMENTS / f"{name}.txt")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise EnvironmentUnavailableError(f"{name} cannot be installed: {reason}")
    installed.touch()
    return python
