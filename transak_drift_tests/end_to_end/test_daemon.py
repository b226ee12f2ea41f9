"""Messages of every kind in one queue, and a real daemon that dies wherever it can."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from transak_drift.local.model_registry import ModelRegistry
from transak_drift.local.state_directory import StateDirectory
from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.deployment.postgres_server import deployed_dagster_home
from transak_drift_tests.end_to_end.running_loop import RunningLoop
from transak_drift_tests.servers.slack_server import SlackServer
from transak_drift_tests.trigger.drift_messages import drift_event, message_body, store_job

POLICY = {"retrain_policy": {"maximum_trainings_in_flight": 10}}
SECOND_MODEL = {
    "model_name": "transak-i2-train-model",
    "monitoring_job_display_name": "transak_i2_data_drift_monitor",
    "notifications": {"slack": {"channel": "#second"}},
}
YEAR_9999 = datetime(9999, 12, 31, tzinfo=UTC)
SLACK_TOKEN = "xoxb-the-secret-token"
DAGSTER_URL = "http://127.0.0.1:3000"


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackServer]:
    with SlackServer(SLACK_TOKEN, "#second") as server:
        yield server


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, slack: SlackServer) -> Iterator[RunningLoop]:
    """Two models that share a subscription; a test leaves nothing open, and the daemon running."""
    directory = tmp_path_factory.mktemp("loop")
    with RunningLoop(directory, POLICY, {"transak-i2.json": SECOND_MODEL}) as loop:
        loop.environment["TRANSAK_DRIFT_SLACK_TOKEN"] = SLACK_TOKEN
        loop.environment["TRANSAK_DRIFT_SLACK_API_URL"] = slack.url
        loop.environment["TRANSAK_DRIFT_DAGSTER_URL"] = DAGSTER_URL
        yield loop


def test_a_mixed_queue_trains_each_drift_event_once_wherever_the_daemon_dies(
    loop: RunningLoop, slack: SlackServer
) -> None:
    second, yesterday = loop.configs[1], date.today() - timedelta(days=1)
    bad = {
        loop.queue.publish(b"\xff\xfe no text"): "not_utf8",
        loop.queue.publish(b'{"half": '): "not_json",
        loop.queue.publish(b'{"jsonPayload": []}'): "no_monitoring_job",
        loop.queue.publish(
            message_body(drift_event("foreign", project="else-where"))
        ): "other_project",
        loop.queue.publish(message_body(drift_event("deleted"))): "job_missing",
        loop.queue.publish(
            store_job(loop.home, loop.config, "endless", {"type": 0.5}, end=YEAR_9999)
        ): "window_out_of_range",
    }
    loop.message("quiet", description=0.29, type=0.3)
    loop.queue.publish(message_body(drift_event("quiet", {"description": 0.99})))
    # A second model shares the subscription; its job has a name that the first has too. Its
    # distance is rounded above 1, and the year 1 in the message is not believed.
    poison = json.loads(loop.message("good", config=second, description=1.0000000000000002))
    poison["jsonPayload"]["endTime"] = "0001-01-01T00:00:00Z"
    loop.queue.publish(json.dumps(poison).encode())
    drift = {
        "first": "TICK_HELD",
        "second": "RUN_IDS_RESERVED",
        "good": "RUN_CREATED",
        "last": "RUN_LAUNCHED",
    }
    for job, point in drift.items():
        loop.queue.publish_many([loop.message(job)] * 50)
        die_at(point, job, loop)
    recorded = {record.key for record in loop.records()}
    assert recorded >= {loop.event_key(job) for job in drift}

    loop.start_daemon()
    second_trainings = dg.RunsFilter(job_name="transak_i2_retrain")
    loop.wait_for(
        "the second model's training",
        lambda: any(run.is_success for run in loop.instance.get_runs(second_trainings)),
    )
    for job in drift:
        wait_for_the_one_training(job, loop)
    loop.wait_for("every acknowledgement", lambda: loop.unacknowledged() == 0)

    [of_second] = loop.instance.get_runs(second_trainings)
    assert of_second.tags["transak_drift/drift_event"] == f"{second.model_monitor_id}/good"
    assert of_second.tags["transak_drift/model"] == "transak-i2-train-model"
    about = f"*Drift of transak-i2-train-model on {yesterday}"
    # A daemon that dies before it stores the cursor tells again.
    loop.wait_for("both messages", lambda: len({*slack.texts("#second")}) == 2)
    requested, trained = dict.fromkeys(slack.texts("#second"))
    assert requested.startswith(f"{about}: a training is requested*\n• feature description: ")
    report = f"/assets/transak_i2/drift_report?view=partitions&amp;partition={yesterday}"
    assert report in requested
    assert trained.startswith(f"{about}: new champion: version 1*\n• reason: ")
    assert f"<{DAGSTER_URL}/runs/{of_second.run_id}|Training run>" in trained
    letters = loop.queue.list_dead_letters(100)
    assert {letter.source_message_id: letter.reason for letter in letters} == bad
    assert all(letter.detail for letter in letters)
    loop.wait_for("a cursor that waits for nothing", loop.nothing_waits)
    kinds = Counter(record.kind for record in loop.records())
    # Each job is polled as well: a message of a known event is a duplicate.
    assert kinds[OutcomeKind.DRIFT] == kinds[OutcomeKind.TRAINING_STARTED] == len(drift)
    assert kinds[OutcomeKind.NOT_DRIFT] == 1


def test_a_training_whose_machine_dies_is_marked_as_failed_and_trains_again(
    loop: RunningLoop,
) -> None:
    instance = loop.instance
    registry = ModelRegistry(StateDirectory(loop.home, loop.config).registry)
    registry.directory.mkdir(parents=True, exist_ok=True)
    if loop.dagster.daemon is None:
        loop.start_daemon()
    # Until the machine dies the training does not get as far as its end.
    with registry.training_lock():
        loop.queue.publish(loop.message("machine-dies"))
        [run] = loop.wait_for("a training", lambda: loop.trainings("machine-dies"))
        key = f"transak_drift/heartbeat/{run.run_id}"
        loop.wait_for(
            "the training's heartbeat",
            lambda: instance.daemon_cursor_storage.get_cursor_values({key}),
        )
        loop.dagster.kill()
    assert [item.status for item in loop.trainings("machine-dies")] == [dg.DagsterRunStatus.STARTED]

    loop.environment["TRANSAK_DRIFT_HEARTBEAT_SECONDS"] = "0.5"
    loop.start_daemon()
    loop.wait_for("the end of a second training", lambda: loop.trained("machine-dies"))
    [again, died] = loop.trainings("machine-dies")
    assert (again.parent_run_id, died.status) == (run.run_id, dg.DagsterRunStatus.FAILURE)
    [end] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert "no heartbeat since" in str(end.get_dagster_event().message)
    loop.wait_for("a cursor that waits for nothing", loop.nothing_waits)
    # A tick leaves a log only if something happened: of this sensor's ticks, one did.
    logs = [path for path in loop.dagster_home.rglob("*.err") if "_sensor" in path.parent.name]
    names = Counter(path.parent.name for path in logs)
    assert names["run_health_sensor"] == 1
    assert not [name for name in names if "monitoring_results" in name]


def test_a_daemon_dies_after_it_has_created_a_run_in_postgres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a storage may differ in is the moment between the run's creation and its launch.
    with (
        deployed_dagster_home(tmp_path / "dagster_home", monkeypatch),
        RunningLoop(tmp_path) as loop,
    ):
        assert "postgres" in type(loop.instance.run_storage).__name__.lower()
        loop.queue.publish(loop.message("job"))
        die_at("RUN_CREATED", "job", loop)
        loop.start_daemon()
        wait_for_the_one_training("job", loop)
        loop.wait_for("every acknowledgement", lambda: loop.unacknowledged() == 0)


def die_at(point: str, job: str, loop: RunningLoop) -> None:
    """Run a daemon until it kills itself at a point of the tick that requests a job's training."""
    loop.start_daemon(point, loop.event_key(job))
    daemon = loop.dagster.daemon
    assert daemon is not None
    loop.wait_for(f"the crash at {point}", daemon.poll)
    assert daemon.poll() == -signal.SIGKILL


def wait_for_the_one_training(job: str, loop: RunningLoop) -> None:
    loop.wait_for(f"the training of {job}", lambda: loop.trained(job))
    # A run that a dying daemon handed to nobody never starts, and is launched again.
    assert loop.started_trainings(job) == 1, job
