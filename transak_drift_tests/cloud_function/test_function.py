"""The function, served by the functions framework, given real CloudEvents over HTTP.

Two models share its topic.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from cloudevents.http import CloudEvent
from google.cloud.aiplatform_v1.types import PipelineJob, PipelineState

from transak_drift.cloud_function.drift_message_handler import DriftMessageHandler
from transak_drift.config.monitoring_config import MonitoringConfig, parse_config
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import connect as connect_pubsub
from transak_drift.pubsub.trigger_queue import DeadLetterMessage, TriggerQueue
from transak_drift.trigger.log_entry import MessageShape, drift_message
from transak_drift.vertex.training_launch import pipeline_job_id
from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.function_server import (
    AGAIN,
    ATTRIBUTES,
    SUBSCRIPTION,
    TAKEN,
    FunctionServer,
    event_with_data,
    pubsub_event,
)
from transak_drift_tests.servers.clients import connect
from transak_drift_tests.servers.grpc_server import RefusedError
from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event, message_body


def job_of(event: DriftEvent) -> str:
    return pipeline_job_id("pipeline-train", event.key)


@pytest.mark.parametrize("number", [1, 2])
def test_drift_trains_the_model_that_drifted_and_no_other(
    function: FunctionServer, deployment: Deployment, number: int
) -> None:
    config = (deployment.config, deployment.second_config)[number - 1]
    before = len(deployment.jobs())
    distances = {"description": 0.6, "type": 0.5}
    drift = deployment.finished_job(f"starts-{number}", distances, config)
    entry = function.deliver(pubsub_event(message_body(drift)))
    (job,) = deployment.jobs(pipeline_job_id(config.training_pipeline, drift.key))
    assert len(deployment.jobs()) == before + 1
    parameters = dict(job.runtime_config.parameter_values)
    assert parameters["first_day"] == "2026-04-04"
    assert parameters["last_day"] == "2026-05-01"
    assert parameters["transactions"] == "gs://transak-i1/transactions"
    assert parameters["champion_uri"] == f"gs://transak-i{number}/models/1"
    assert parse_config(parameters["monitoring_config"], "test") == config
    assert job.runtime_config.gcs_output_directory.startswith(f"gs://transak-i{number}/")
    assert entry["severity"] == "INFO"
    assert entry["outcome"] == "launched"
    assert entry["model_monitor"] == config.model_monitor_id
    assert entry["drift_event"] == drift.key
    assert entry["features"] == distances
    assert entry["pipeline_job"] == job.name


def test_every_shape_of_message_and_every_delivery_starts_one_pipeline(
    function: FunctionServer, deployment: Deployment
) -> None:
    before = len(deployment.jobs())
    drift = deployment.finished_job("many")
    shapes = [json.dumps(drift_message(drift, shape, MAY_1)).encode() for shape in MessageShape]
    by_number = shapes[1].replace(b"projects/af-finanzen", b"projects/123456789012")
    events = [pubsub_event(body) for body in [*shapes, by_number] * 3]
    with ThreadPoolExecutor(max_workers=5) as pool:
        answers = list(pool.map(function.post, events))
    answers.append(function.post(events[0], structured=True))
    assert answers == [TAKEN] * (len(events) + 1)
    assert len(deployment.jobs(job_of(drift))) == 1
    assert len(deployment.jobs()) == before + 1
    outcomes = [e["outcome"] for e in function.entries(*(event["id"] for event in events))]
    assert sorted(outcomes) == ["adopted"] * len(events) + ["launched"]


def test_what_is_no_drift_is_taken_and_trains_nothing(
    function: FunctionServer, deployment: Deployment
) -> None:
    quiet = deployment.finished_job("quiet", {"description": 0.25, "type": 0.1})
    lie = message_body(drift_event(quiet.monitoring_job_id, {"type": 0.99}))
    notice = {"subject": "Vertex AI Model Monitoring Job started", "details": {}}
    small = message_body(deployment.finished_job("small", {"description": 0.5}, rows=10))
    for body, told in (
        (lie, "description 0.25"),
        (small, "description 0.5000 > 0.3 (too few rows: 10"),
        (json.dumps(notice).encode(), "started"),
    ):
        event = pubsub_event(body)
        entry = function.deliver(event)
        assert (entry["severity"], entry["outcome"]) == ("INFO", "not_drift")
        assert told in entry["message"]
        assert deployment.dead_letter(event["id"]) is None
    assert deployment.jobs(job_of(quiet)) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b'{"jsonPayload": []}', "no_monitoring_job"),
        (b"x" * (1024 * 1024 + 1), "too_large"),
        (message_body(drift_event("foreign", project="elsewhere")), "other_project"),
        (message_body(drift_event("other", monitor="4412345678901234567")), "other_monitor"),
        (message_body(drift_event("third", monitor="transak-i3-monitor")), "other_monitor"),
        (message_body(drift_event("deleted")), "job_missing"),
    ],
    ids=["empty", "no job", "too large", "other project", "by number", "third model", "deleted"],
)
def test_a_rejected_message_is_taken_and_kept_with_its_reason(
    function: FunctionServer, deployment: Deployment, body: bytes, reason: str
) -> None:
    letter = dead_letter_of(pubsub_event(body), function, deployment, reason)
    assert letter.detail
    assert letter.message.data == body
    assert letter.message.attributes.items() >= ATTRIBUTES.items()
    assert letter.message.attributes["source_subscription"] == SUBSCRIPTION


OTHER_TOPIC = "projects/evil/topics/t"


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (event_with_data({"message": {}}, event_id="u1", event_type="a.b"), "type is 'a.b'"),
        (event_with_data({"message": {"data": "!"}}, event_id="u2"), "data.message.data"),
        (event_with_data({"message": {"messageId": 5}}, event_id="u3"), "data.message.messageId"),
        (event_with_data([1, 2], event_id="u4"), "data: "),
        (
            pubsub_event(b"{}", topic=OTHER_TOPIC),
            f"source is '//pubsub.googleapis.com/{OTHER_TOPIC}",
        ),
    ],
    ids=["another type", "no base64", "wrong type of id", "no object", "another topic"],
)
def test_an_event_without_a_message_of_the_topic_is_kept_whole(
    function: FunctionServer, deployment: Deployment, event: CloudEvent, problem: str
) -> None:
    letter = dead_letter_of(event, function, deployment, "unexpected_event")
    assert problem in letter.detail
    assert json.loads(letter.message.data) == event.data


def dead_letter_of(
    event: CloudEvent, function: FunctionServer, deployment: Deployment, reason: str
) -> DeadLetterMessage:
    """Deliver an event that is rejected and trains nothing, and return its dead letter."""
    before = len(deployment.jobs())
    entry = function.deliver(event)
    letter = deployment.dead_letter(event["id"])
    assert letter is not None
    assert letter.reason == entry["reason"] == reason
    assert (entry["severity"], entry["outcome"]) == ("WARNING", "dead_lettered")
    assert len(deployment.jobs()) == before
    return letter


@pytest.mark.parametrize(
    ("method", "code", "severity", "told"),
    [
        (None, None, "WARNING", "has not ended yet; it is looked at again; the message is"),
        ("ListModelMonitors", "PERMISSION_DENIED", "WARNING", "aiplatform.modelMonitors.list"),
        ("CreatePipelineJob", "INTERNAL", "ERROR", "Refused."),
    ],
)
def test_what_cannot_be_settled_now_is_delivered_again(
    function: FunctionServer,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    method: str | None,
    code: str | None,
    severity: str,
    told: str,
) -> None:
    if method is None or code is None:
        monkeypatch.setattr(deployment.vertex.monitoring, "looks", 2)
    else:
        deployment.vertex.faults.refuse(method, grpc.StatusCode[code], 1, "Refused.")
    drift = deployment.finished_job(f"again-{method}")
    event = pubsub_event(message_body(drift))
    entry = function.deliver(event, AGAIN)
    assert entry["severity"] == severity
    assert told in entry["message"]
    assert "Traceback" not in entry["message"]
    assert deployment.jobs(job_of(drift)) == []
    assert function.deliver(event)["outcome"] == "launched"
    assert deployment.dead_letter(event["id"]) is None
    assert len(deployment.jobs(job_of(drift))) == 1


def test_a_training_that_failed_is_not_followed_by_another(
    function: FunctionServer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: PipelineJob) -> None:
        raise RefusedError(grpc.StatusCode.INTERNAL, "out of memory")

    monkeypatch.setattr(deployment.vertex.pipelines, "run", fail)
    drift = deployment.finished_job("fails")
    function.deliver(pubsub_event(message_body(drift)))
    before = len(deployment.jobs())
    (job,) = deployment.jobs(job_of(drift))
    deployment.vertex.pipelines.finish_at_next_look(job.name)
    again = function.deliver(pubsub_event(message_body(drift)))
    (job,) = deployment.jobs(job_of(drift))
    assert job.state == PipelineState.PIPELINE_STATE_FAILED
    assert len(deployment.jobs()) == before
    assert again["outcome"] == "adopted"


def test_messages_that_eventarc_would_drop_are_kept_and_train_when_they_are_replayed(
    function: FunctionServer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = deployment.finished_job("old-refused")
    deployment.vertex.faults.refuse("CreatePipelineJob", grpc.StatusCode.INTERNAL, 1)
    monkeypatch.setattr(deployment.vertex.monitoring, "looks", 2)
    unfinished = deployment.finished_job("old-unfinished")
    ids = []
    for drift in (refused, unfinished):
        event = pubsub_event(message_body(drift), publish_time="2026-05-02T00:10:00.123Z")
        entry = function.deliver(event)
        assert (entry["severity"], entry["reason"]) == ("ERROR", "not_settled_in_time")
        assert deployment.jobs(job_of(drift)) == []
        ids.append(event["id"])
    # What Eventarc does with a message that `transak-drift dead-letters replay` publishes again.
    replayed = deployment.queue.replay_dead_letters(1_000, ids).published
    messages = list(deployment.queue.pull(10, 1_000_000, 5.0))
    deployment.queue.acknowledge([message.ack_id for message in messages])
    assert sorted(message.message_id for message in messages) == sorted(replayed)
    for message in messages:
        function.deliver(pubsub_event(message.data, message_id=message.message_id))
    assert [len(deployment.jobs(job_of(drift))) for drift in (refused, unfinished)] == [1, 1]


def test_a_rejected_message_comes_again_while_no_dead_letter_topic_takes_it(
    deployment: Deployment,
) -> None:
    missing = {"dead_letter_topic": "missing", "dead_letter_subscription": "missing-sub"}
    config = MonitoringConfig.model_validate({**deployment.config.model_dump(), **missing})
    connection = connect(deployment.vertex.endpoint)
    queue = TriggerQueue(connect_pubsub(deployment.pubsub_endpoint), config)
    handler = DriftMessageHandler([(config, connection)], queue)

    with pytest.raises(PlatformError, match="missing"):
        handler.handle(pubsub_event(b"no json"))

    connection.close()
    queue.close()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"retrain_policy": {"approval": "manual"}}, "remembers no approval"),
        ({"labels": {}}, "keeps no event waiting for them"),
    ],
)
def test_what_would_wait_is_held_and_the_log_says_what_to_do(
    deployment: Deployment,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    told: str,
) -> None:
    config = MonitoringConfig.model_validate({**deployment.config.model_dump(), **changes})
    connection = connect(deployment.vertex.endpoint)
    queue = TriggerQueue(connect_pubsub(deployment.pubsub_endpoint), config)
    drift = deployment.finished_job(f"waits-{told}", {"description": 0.6})
    DriftMessageHandler([(config, connection)], queue).handle(pubsub_event(message_body(drift)))
    connection.close()
    queue.close()
    entry = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (entry["outcome"], entry["severity"]) == ("held", "WARNING")
    assert told in entry["message"]
    assert deployment.jobs(job_of(drift)) == []


@pytest.mark.parametrize(
    ("distance", "outcome", "severity", "told"),
    [
        (0.4, "not_drift", "INFO", "description 0.4"),
        (0.6, "held", "WARNING", "the policy asks for 2"),
    ],
)
def test_each_model_has_its_own_thresholds_and_policy(
    function: FunctionServer,
    deployment: Deployment,
    distance: float,
    outcome: str,
    severity: str,
    told: str,
) -> None:
    found = []
    for config in (deployment.config, deployment.second_config):
        job = deployment.finished_job(f"at-{distance}", {"description": distance}, config)
        event = pubsub_event(message_body(job))
        found.append(function.deliver(event))
        assert deployment.dead_letter(event["id"]) is None
    assert [entry["outcome"] for entry in found] == ["launched", outcome]
    assert found[1]["severity"] == severity
    assert told in found[1]["message"]
