"""Back to an earlier version on Vertex AI: its baseline, its monitor, and no training loop."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from transak_drift.defs.keys import BASELINE_DATASET
from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.cli.commands import document
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.end_to_end.gcp_loop import NAMES, GcpLoop
from transak_drift_tests.servers.clients import PLACES

TODAY = datetime.now(UTC).date()
DAYS = [TODAY - timedelta(days=n) for n in (6, 5, 4, 3)]
UPLOADED = datetime.now(UTC) - timedelta(days=30)


def test_the_drift_that_a_rollback_brings_back_trains_no_more_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(tmp_path / "home"))
    policy = {"maximum_trainings_per_drift": 2}
    with ExitStack() as stack:
        config = configuration(vertex=PLACES, retrain_policy=policy)
        loop = GcpLoop(tmp_path, monkeypatch, stack, config)
        model = "projects/123456789012/locations/europe-west6/models/1001"
        [first] = loop.vertex.models.versions(model)
        first.version_create_time = UPLOADED

        def monitor(day: date) -> str:
            loop.write_rows(f"predictions/{day}", drifts=True)
            key = loop.monitor(day)
            loop.results.tick()
            return key

        def monitored_version() -> str:
            [monitor] = loop.vertex.monitoring.monitors()
            return monitor.model_monitoring_target.vertex_model.model_version_id

        for number, day in enumerate(DAYS[:2], start=2):
            # The first trains, and so does the same drift once more after it was brought back.
            assert loop.tick_messages() == []
            key = monitor(day)
            assert loop.tick_messages() == [key]
            assert monitored_version() == str(number)
            said = document("rollback", "1", "--reason", "worse on salaries")
            assert (said["champion_before"], said["is_new"]) == (str(number), True)
            assert monitored_version() == "1"
            baseline = loop.newest(NAMES.asset(BASELINE_DATASET))
            assert baseline is not None
            assert baseline["model version"] == "1"
        waiting = [monitor(day) for day in DAYS[2:]]
        for _ in range(3):
            assert loop.tick_messages() == []
            loop.results.tick()
        escalated = loop.records(OutcomeKind.ESCALATED)
        assert [record.key for record in escalated] == waiting
        assert len({record.detail for record in escalated}) == 1
        assert len(loop.vertex.pipelines.jobs()) == 2
        assert monitored_version() == "1"
