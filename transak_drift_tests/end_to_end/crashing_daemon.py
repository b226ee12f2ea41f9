"""The real daemon, which is killed (SIGKILL) at one exact point of its work.

Run as `python -m transak_drift_tests.end_to_end.crashing_daemon POINT RUN_KEY`. The daemon kills
itself at the point as soon as it works on the run key; Dagster marks these points itself, for its
own crash tests.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dagster._daemon import sensor as sensor_daemon
from dagster._daemon.cli import cli

POINTS = ("TICK_HELD", "RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED")


def arm(point: str, run_key: str) -> None:
    """Make this process kill itself.

    Args:
        point: one of `POINTS`.
        run_key: only once this run key has been requested by a tick.
    """
    requested: set[str] = set()
    original = sensor_daemon.SensorLaunchContext.set_run_requests

    def remember(self: Any, run_requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        requested.update(str(request.run_key) for request in run_requests)
        return original(self, run_requests, *args, **kwargs)

    def crash(debug_crash_flags: Mapping[str, int | Exception] | None, key: str) -> None:
        if key == point and (run_key in requested or point == "TICK_HELD"):
            os.kill(os.getpid(), signal.SIGKILL)

    sensor_daemon.SensorLaunchContext.set_run_requests = remember
    vars(sensor_daemon)["check_for_debug_crash"] = crash


if __name__ == "__main__":
    arm(sys.argv[1], sys.argv[2])
    sys.argv = ["dagster-daemon", "run", "--workspace", "workspace.yaml"]
    cli()
