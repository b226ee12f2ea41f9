"""The daemon dies by SIGKILL between any two of its steps: each drift event still trains once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from transak_drift_tests.deployment.postgres_server import deployed_dagster_home
from transak_drift_tests.end_to_end.running_loop import CRASH_POINTS, RunningLoop


@pytest.fixture(params=["sqlite", "postgres"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Give Dagster the storage of a local instance, or that of a deployment."""
    if request.param == "sqlite":
        yield request.param
        return
    with deployed_dagster_home(tmp_path / "dagster_home", monkeypatch):
        yield request.param


def test_killed_at_every_point_each_drift_event_trains_exactly_once(
    storage: str, tmp_path: Path
) -> None:
    # What a storage may differ in is the moment between the run's creation and its launch.
    points = CRASH_POINTS if storage == "sqlite" else ("RUN_CREATED",)
    policy = {"maximum_trainings_in_flight": 100}
    with RunningLoop(tmp_path, {"retrain_policy": policy}) as loop:
        assert storage in type(loop.instance.run_storage).__name__.lower()
        for point in points:
            loop.queue.publish(loop.message(_job(point)))
            loop.start_daemon(point, loop.event_key(_job(point)))
            daemon = loop.dagster.daemon
            assert daemon is not None
            loop.wait_for(f"the crash at {point}", lambda daemon=daemon: daemon.exit_status)
            assert daemon.exit_status == -signal.SIGKILL
        recorded = {record.key for record in loop.records()}
        assert recorded >= {loop.event_key(_job(point)) for point in points}
        loop.start_daemon()
        for point in points:
            loop.wait_for(f"the training after {point}", lambda p=point: loop.trained(_job(p)))
        loop.wait_for("every acknowledgement", lambda: loop.unacknowledged() == 0)

        for point in points:
            # A run that the dying daemon handed to nobody never starts, and is launched again.
            assert loop.started_trainings(_job(point)) == 1, f"after the crash at {point}"
        loop.wait_for("a cursor that waits for nothing", loop.nothing_waits)
        assert loop.queue.list_dead_letters(10) == []


def _job(point: str) -> str:
    return point.lower().replace("_", "-")
