"""What the model answers has shifted, its features have not: reported, and trained if wanted."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.cloud.aiplatform_v1.types import PipelineJob

from transak_drift.cli.dagster_home import QUIET_RUN
from transak_drift.cloud_function.drift_message_handler import DriftMessageHandler
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.definitions import build_definitions
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.drift_message_sensor import SENSOR_NAME as MESSAGES
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    DRIFT_REPORT,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
    ModelNames,
    check_names,
)
from transak_drift.defs.monitoring_results_sensor import PollBounds, build_monitoring_results_sensor
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.settings import load_settings
from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.cloud_function.function_server import pubsub_event
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.end_to_end.gcp_loop import GcpLoop
from transak_drift_tests.servers.clients import PLACES
from transak_drift_tests.servers.server import Push

NAMES = ModelNames()
REPORT = NAMES.asset(DRIFT_REPORT)
PREDICTION_CHECK = "predicted_category_drift"
PREDICTION_DRIFT = {"column": "predicted_category", "threshold": 0.3}
BOTH = {"objectives": ["feature", "prediction"]}
PREDICTIONS = {"objectives": ["prediction"]}
REASON = "prediction drift alone does not train: retrain_policy.objectives"

START = date(2026, 5, 11)
SHIFTED = START + timedelta(days=5)
DRIFT_DAY, RECOVERED_DAY = (datetime.now(UTC).date() - timedelta(days=n) for n in (2, 1))
MERCHANTS = {"food": ("Migros Zürich", "Coop Bern"), "travel": ("SBB Ticket", "Swiss Flug")}


def check_states(instance: dg.DagsterInstance, partition: str) -> dict[str, tuple[str, str]]:
    """Return what each check of a report says last, and how gravely."""
    states: dict[str, tuple[str, str]] = {}
    for name in ("description_drift", "type_drift", PREDICTION_CHECK):
        history = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(REPORT, name), limit=20
        )
        for record in history:
            found = record.event and record.event.dagster_event
            if found is None or found.event_type_value != "ASSET_CHECK_EVALUATION":
                continue
            evaluation = found.asset_check_evaluation_data
            if evaluation.partition == partition and name not in states:
                state = "passed" if evaluation.passed else evaluation.severity.value
                states[name] = (state, evaluation.description or "")
    return states


class LocalLoop:
    """One model on the local platform, with days of bookings of which only the merchants change."""

    def __init__(
        self,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        stack: ExitStack,
        **changes: Any,
    ) -> None:
        self.directory = directory
        (directory / "days").mkdir()
        self.write_day("baseline", food=0.5)
        for number in range(8):
            day = START + timedelta(days=number)
            self.write_day(str(day), food=0.9 if day >= SHIFTED else 0.5)
        # What tells the category is no monitored feature.
        self.config = configuration(
            **{
                "drift_thresholds": {"type": 0.3},
                "start_date": str(START),
                "transactions": str(directory / "days"),
                "prediction_drift": PREDICTION_DRIFT,
                **changes,
            }
        )
        file = directory / "monitoring_config.json"
        file.write_text(self.config.model_dump_json(exclude_none=True))
        pubsub = stack.enter_context(ensure_embedded_pubsub(directory / "pubsub"))
        queue = TriggerQueue(connect(pubsub.endpoint), self.config)
        queue.ensure_exists()
        queue.close()
        for name, value in {
            "TRANSAK_DRIFT_PLATFORM": "local",
            "TRANSAK_DRIFT_CONFIG": str(file),
            "TRANSAK_DRIFT_HOME": str(directory / "state"),
            "PUBSUB_EMULATOR_HOST": pubsub.endpoint,
        }.items():
            monkeypatch.setenv(name, value)
        self.instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        self.definitions = build_definitions(load_settings(), [self.config])
        resources = dict(self.definitions.resources or {})
        messages = self.definitions.resolve_sensor_def(MESSAGES)
        bounds = PollBounds(listing_interval=timedelta(0))
        results = build_monitoring_results_sensor(self.config, 1, bounds)
        self.messages = SensorTicks(self.instance, messages, resources)
        self.results = SensorTicks(self.instance, results, resources)

    def write_day(self, name: str, food: float, rows: int = 200) -> None:
        lines = ["description,type,category"]
        for number in range(rows):
            category = "food" if number < food * rows else "travel"
            merchant = MERCHANTS[category][number % 2]
            lines.append(f"{merchant},{('Card', 'Twint')[number % 2]},{category}")
        (self.directory / "days" / f"{name}.csv").write_text("\n".join(lines))

    def run(self, job: str, day: date | None = None) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            run_config=QUIET_RUN,
            instance=self.instance,
            partition_key=None if day is None else str(day),
        )

    def report(self, day: date) -> MonitoringResult:
        outcome = self.run("daily_monitoring", day)
        (found,) = [
            event.step_materialization_data.materialization
            for event in outcome.get_asset_materialization_events()
            if event.asset_key == REPORT
        ]
        return MonitoringResult.model_validate(found.metadata["result"].value)

    def tick(self) -> list[str]:
        self.results.tick()
        return self.messages.tick_and_train(self.definitions)

    def records(self, kind: OutcomeKind) -> list[str]:
        found = read_records(self.instance, NAMES.asset(DRIFT_EVENT))
        return [record.detail for _, records in found for record in records if record.kind == kind]


def predictions_of(result: MonitoringResult) -> Any:
    (found,) = [item for item in result.features if item.objective == "prediction"]
    return found


@pytest.mark.parametrize("policy", [{}, PREDICTIONS], ids=["features", "predictions"])
def test_on_the_local_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: dict[str, Any]
) -> None:
    with ExitStack() as stack:
        loop = LocalLoop(tmp_path, monkeypatch, stack, retrain_policy=policy)
        assert loop.run(PREPARE_JOB).success
        quiet = loop.report(SHIFTED - timedelta(days=1))
        assert predictions_of(quiet).distance == pytest.approx(0.0, abs=1e-9)
        assert loop.tick() == []

        result = loop.report(SHIFTED)
        found = predictions_of(result)
        assert (found.feature, found.metric) == ("predicted_category", "l_infinity")
        assert found.distance == pytest.approx(0.4, abs=1e-9)
        assert 0 < found.by_chance < 0.1
        assert [(c.value, c.baseline_share, c.target_share) for c in found.contributors] == [
            ("food", 0.5, 0.9),
            ("travel", 0.5, pytest.approx(0.1)),
        ]
        assert result.verdict == "drift in predicted_category"
        states = check_states(loop.instance, str(SHIFTED))
        assert states["type_drift"][0] == "passed"
        assert states[PREDICTION_CHECK][0] == "WARN"
        trained = loop.tick()
        assert loop.tick() == []
        later = loop.report(SHIFTED + timedelta(days=1))
        again = loop.tick()
        runs = loop.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
        if not policy:
            assert (trained, again, runs) == ([], [], [])
            assert REASON in states[PREDICTION_CHECK][1]
            # Of each of the two windows, by the message and by the sensor that reads the results.
            assert [REASON in text for text in loop.records(OutcomeKind.NOT_DRIFT)] == [True] * 4
            assert predictions_of(later).drifted
            return
        assert (len(trained), again, len(runs)) == (1, [], 1)
        assert "the trigger decides" in states[PREDICTION_CHECK][1]
        event = loop.instance.get_latest_materialization_event(NAMES.asset(TRAINED_MODEL))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        # Not the days before, of which the predictions are others.
        assert metadata["first day"].value == metadata["last day"].value == str(SHIFTED)
        assert later.verdict == "no drift"
        assert predictions_of(later).distance == pytest.approx(0.0, abs=1e-9)


def test_predictions_alone_are_monitored_and_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {"drift_thresholds": {}, "retrain_policy": PREDICTIONS}
    with ExitStack() as stack:
        loop = LocalLoop(tmp_path, monkeypatch, stack, **alone)
        assert loop.run(PREPARE_JOB).success
        result = loop.report(SHIFTED)
        assert [item.objective for item in result.features] == ["prediction"]
        assert (result.verdict, len(loop.tick())) == ("drift in predicted_category", 1)
        assert loop.report(SHIFTED + timedelta(days=1)).verdict == "no drift"


def test_the_check_of_predictions_takes_no_features_name() -> None:
    config = configuration(
        drift_thresholds={"my label": 0.3, "type": 0.3},
        prediction_drift={"column": "my-label", "threshold": 0.3},
    )
    assert check_names(config.thresholds) == {
        "my label": "my_label_drift",
        "type": "type_drift",
        "my-label": "my_label_drift_2",
    }


def test_without_a_model_there_is_nothing_to_compare_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        loop = LocalLoop(tmp_path, monkeypatch, stack)
        for file in (tmp_path / "days").iterdir():
            lines = file.read_text().splitlines()
            file.write_text("\n".join(line.rpartition(",")[0] for line in lines))
        assert loop.run(PREPARE_JOB).success
        found = predictions_of(loop.report(SHIFTED))
        assert found.distance is None
        assert found.note == "no model predicts, so that there are no predictions to compare"
        state, described = check_states(loop.instance, str(SHIFTED))[PREDICTION_CHECK]
        assert (state, described) == ("passed", found.note)
        assert loop.tick() == []


class GcpPredictions(GcpLoop):
    """The loop on gcp, where predictions have shifted and features have not."""

    def write_rows(self, name: str, *, drifts: bool) -> None:
        rows = [
            {
                "description": ("Card", "Twint")[n % 2],
                "type": ("Card", "Twint")[n % 2],
                "predicted_category": "food" if n < (54 if drifts else 30) else "travel",
            }
            for n in range(60)
        ]
        self.vertex.buckets.write_csv(f"gs://transak-i1/{name}.csv", rows)

    def jobs(self) -> list[PipelineJob]:
        return self.vertex.pipelines.jobs()


def deliver_to_function(
    loop: GcpLoop, key: str, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """Give the Cloud Function's handler a message that names a job; returns its log entry."""
    ids = tuple(key.split("/"))
    name = monitoring_job_name(loop.config.project_id, loop.config.location, *ids)
    handler = DriftMessageHandler([(loop.config, loop.platform.connect(loop.config))], loop.queue)
    capsys.readouterr()
    handler.handle(pubsub_event(json.dumps(name).encode()))
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    ("policy", "by_message"),
    [({}, True), ({}, False), (BOTH, True)],
    ids=["features by message", "features by polling", "both"],
)
def test_on_vertex_ai(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    policy: dict[str, Any],
    by_message: bool,
) -> None:
    with ExitStack() as stack:
        config = configuration(
            vertex=PLACES, prediction_drift=PREDICTION_DRIFT, retrain_policy=policy
        )
        loop = GcpPredictions(tmp_path, monkeypatch, stack, config)
        loop.vertex.pushes = tuple(Push) if by_message else ()
        loop.write_rows(f"predictions/{DRIFT_DAY}", drifts=True)
        key = loop.monitor(DRIFT_DAY)
        loop.results.tick()
        report = loop.newest(REPORT, DRIFT_DAY)
        assert report is not None
        assert report["verdict"] == "drift in predicted_category"
        assert report["predicted_category distance"] == pytest.approx(0.4)
        states = check_states(loop.instance, str(DRIFT_DAY))
        assert [state for state, _ in states.values()] == ["passed", "passed", "WARN"]
        if policy:
            # The Cloud Function is first, and the sensor takes its training over.
            entry = deliver_to_function(loop, key, capsys)
            assert (entry["outcome"], entry["features"]) == (
                "launched",
                {"predicted_category": pytest.approx(0.4)},
            )
        trained = [*loop.tick_messages(), *loop.tick_messages()]
        loop.results.tick()
        assert loop.tick_messages() == []
        assert loop.queue.list_dead_letters(10) == []
        if not policy:
            assert (trained, loop.jobs()) == ([], [])
            entry = deliver_to_function(loop, key, capsys)
            assert entry["outcome"] == "not_drift"
            assert REASON in entry["message"]
            assert REASON in states[PREDICTION_CHECK][1]
            reasons = {record.detail for record in loop.records(OutcomeKind.NOT_DRIFT)}
            assert len(reasons) == 1
            assert REASON in reasons.pop()
            return
        assert (trained, len(loop.jobs())) == ([key], 1)
        # The training has made the window that drifted the baseline.
        loop.write_rows(f"predictions/{RECOVERED_DAY}", drifts=True)
        loop.monitor(RECOVERED_DAY)
        loop.results.tick()
        recovered = loop.newest(REPORT, RECOVERED_DAY)
        assert recovered is not None
        assert recovered["verdict"] == "no drift"
        assert loop.tick_messages() == []
