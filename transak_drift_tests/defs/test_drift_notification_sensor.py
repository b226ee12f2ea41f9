"""Who is told what and how often: real ticks on a real instance, Slack and mail on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from transak_drift.config.errors import ConfigError
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.definitions import build_definitions, platform_resource
from transak_drift.defs.drift_event_log import write_records
from transak_drift.defs.drift_message_sensor import run_request
from transak_drift.defs.drift_notification_sensor import (
    MAX_SENT,
    SENSOR_NAME,
    ChannelState,
    NotificationBounds,
    NotificationState,
    Pause,
    build_drift_notification_sensor,
)
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    DRIFT_EVENT_TAG,
    DRIFT_REPORT,
    MONITORING_RUN,
    TRAINED_MODEL,
    ModelNames,
)
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.notifications.channels import RefusedNotificationError
from transak_drift.notifications.texts import Notification
from transak_drift.settings import Settings
from transak_drift.training.labels import LabelVerdict
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.config.configurations import configuration, document
from transak_drift_tests.defs.past_events import materialization_at
from transak_drift_tests.defs.sensor_ticks import SensorTicks, sentence
from transak_drift_tests.servers.mail_server import MailServer, mail_server
from transak_drift_tests.servers.slack_server import Answer, SlackServer
from transak_drift_tests.trigger.drift_messages import drift_event as a_drift_event

TOKEN = "xoxb-the-secret-token"
CHANNEL = "#ml-drift"
DAY = datetime(2026, 5, 4, tzinfo=UTC)
NOW = datetime.now
DAGSTER = "https://dagster.example.com"
EMAIL = {"sender": "drift@example.com", "recipients": ["a@example.com"]}
BOTH = configuration(notifications={"slack": {"channel": CHANNEL}, "email": EMAIL})
SLACK = configuration(notifications={"slack": {"channel": CHANNEL}})
HEAD = "Drift of transak-i1-train-model on 2026-05-04:"


class World:
    """Dagster, Slack and the mail server; what the trigger records, and the sensor's ticks."""

    def __init__(self, instance: dg.DagsterInstance, slack: SlackServer, mail: MailServer) -> None:
        self.instance = instance
        self.slack = slack
        self.mail = mail
        self.settings = Settings(
            slack_api_url=slack.url,
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_security="none",
            slack_token=SecretStr(TOKEN),
            dagster_url=DAGSTER,
        )
        self.cursor: str | None = None

    def record(
        self,
        kind: OutcomeKind,
        *events: str | DriftEvent,
        detail: str = "because",
        by: str = "",
        labels: LabelVerdict | None = None,
    ) -> None:
        """Record outcomes, of jobs by their ids, as the drift message sensor does."""
        now = datetime.now(UTC)
        found = [drift_event(it) if isinstance(it, str) else it for it in events]
        records = [
            TriggerRecord(
                kind=kind,
                key=event.key,
                detail=detail,
                at=now,
                event=event,
                by=by,
                labels=labels,
            )
            for event in found
        ]
        write_records(self.instance, ModelNames().asset(DRIFT_EVENT), records)

    def tick(
        self, config: MonitoringConfig = BOTH, bounds: NotificationBounds | None = None
    ) -> str:
        """Evaluate the sensor with the cursor that the last tick left; return its sentence."""
        sensor = build_drift_notification_sensor(config, self.settings, bounds)
        ticks = SensorTicks(self.instance, sensor, cursor=self.cursor)
        result = ticks.tick()
        assert not result.run_requests and not result.asset_events
        self.cursor = ticks.cursor
        return sentence(result)

    def add_run(self, job: str, status: dg.DagsterRunStatus, **tags: str) -> str:
        """Put a training's run in storage, as Dagster's daemon does."""
        request = run_request(drift_event(job), BOTH, platform_resource(self.settings))
        run_id = f"run-of-{job}-{len(self.instance.get_runs())}"
        self.instance.add_run(
            dg.DagsterRun(
                job_name=str(request.job_name),
                run_id=run_id,
                run_config=request.run_config,
                tags={**request.tags, **tags},
                status=status,
            )
        )
        return run_id

    def slack_headlines(self) -> list[str]:
        return [text.splitlines()[0].strip("*") for text in self.slack.texts(CHANNEL)]

    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.mail.messages]


def drift_event(job: str) -> DriftEvent:
    distances = {"description": 0.61, "type": 0.4}
    return a_drift_event(job, distances, end=DAY + timedelta(days=1))


@pytest.fixture
def world(instance: dg.DagsterInstance) -> Iterator[World]:
    with SlackServer(TOKEN, CHANNEL) as slack, mail_server() as mail:
        yield World(instance, slack, mail)


def test_an_event_is_told_once_on_each_channel(world: World) -> None:
    assert world.tick() == "slack: nothing new; email: nothing new"
    world.record(OutcomeKind.TRAINING_REQUESTED, "job-1")
    run_id = world.add_run("job-1", dg.DagsterRunStatus.STARTED)
    assert world.tick() == "slack: 1 of 1 sent; email: 1 of 1 sent"
    # A copy of the message, and the outcome recorded again by a trigger that lost its cursor.
    world.record(OutcomeKind.DUPLICATE, "job-1")
    world.record(OutcomeKind.TRAINING_REQUESTED, "job-1")
    for _ in range(2):
        assert world.tick() == "slack: nothing new; email: nothing new"
    assert world.slack_headlines() == world.subjects() == [f"{HEAD} a training is requested"]
    [text] = world.slack.texts(CHANNEL)
    assert "• feature type: `distance 0.4000, threshold 0.3`" in text
    assert f"<{DAGSTER}/runs/{run_id}|Training run>" in text
    assert f"<{DAGSTER}/assets/drift_report?" in text


def test_what_was_recorded_before_the_first_tick_is_told_and_an_older_history_is_not(
    world: World,
) -> None:
    world.record(OutcomeKind.HELD, "job-1")
    before_all = NotificationBounds(look_back=-timedelta(days=1))
    assert world.tick(SLACK, before_all) == "slack: nothing new"
    world.cursor = None
    assert world.tick(SLACK) == "slack: 1 of 1 sent"


def test_a_held_event_is_told_with_its_reason_and_its_release_is_not(world: World) -> None:
    world.record(OutcomeKind.HELD, "job-1", detail="1 training(s) in flight")
    world.tick()
    world.record(OutcomeKind.TRAINING_REQUESTED, "job-1")
    world.tick()
    world.add_run("job-1", dg.DagsterRunStatus.CANCELED)
    for _ in range(2):
        world.tick()
        # What a cursor that was lost makes the trigger record again.
        world.record(OutcomeKind.SUPERSEDED, "job-1")
    assert world.slack_headlines() == [
        f"{HEAD} the training is held",
        f"{HEAD} training failed, the champion stays",
    ]
    held, failed = world.slack.texts(CHANNEL)
    assert "• held because: `1 training(s) in flight`" in held
    assert "the run was cancelled" in failed
    first, second = world.mail.messages
    assert second["In-Reply-To"] == first["Message-ID"]
    # A death before the cursor is stored repeats the same Message-ID.
    world.cursor = None
    world.tick()
    again = {message["Message-ID"] for message in world.mail.messages[2:]}
    assert again == {first["Message-ID"], second["Message-ID"]}


def test_a_training_that_dagster_runs_again_has_not_failed_yet(world: World) -> None:
    world.add_run("job-1", dg.DagsterRunStatus.FAILURE, **{"dagster/will_retry": "true"})
    world.add_run("job-1", dg.DagsterRunStatus.STARTED)
    assert world.tick(SLACK) == "slack: nothing new"
    world.add_run("job-1", dg.DagsterRunStatus.FAILURE)
    world.tick(SLACK)
    assert world.slack_headlines() == [f"{HEAD} training failed, the champion stays"]


def test_a_failed_training_is_told_with_its_error(world: World, tmp_path: Path) -> None:
    job = build_definitions(Settings(home=tmp_path), [BOTH]).resolve_job_def("retrain")
    result = job.execute_in_process(
        instance=world.instance,
        tags={DRIFT_EVENT_TAG: drift_event("job-1").key},
        run_config={"ops": {"train": {"config": {"window_end": "some <day>"}}}},
        raise_on_error=False,
    )
    assert not result.success
    world.tick(SLACK)
    [text] = world.slack.texts(CHANNEL)
    # A person started it, without the tags of a request.
    assert text.startswith("*Drift of transak-i1-train-model: training failed, the champion stays*")
    assert "• reason: `window_end is 'some &lt;day&gt;', not an ISO 8601 time" in text
    assert f"<{DAGSTER}/runs/{result.run_id}|Training run>" in text


def test_an_outage_repeats_only_the_rest_and_nothing_on_another_channel(world: World) -> None:
    world.record(OutcomeKind.HELD, "job-1", "job-2", "job-3")
    world.slack.answers += [Answer(body=b'{"ok": true}'), Answer.error("service_unavailable", 503)]
    world.mail.replies += ["451 out of order"] * 2
    said = world.tick()
    assert said.startswith("slack: 1 of 3 sent; Slack is out of order")
    assert "email: 0 of 3 sent; the mail server refuses" in said
    assert world.tick().startswith("slack: 2 of 2 sent; email: 0 of 3 sent")
    assert world.tick() == "slack: nothing new; email: 3 of 3 sent"
    assert "`job-3`" in world.slack.texts(CHANNEL)[-1]
    assert len(world.slack.messages) == 2, "the first answer took job-1 and keeps no record"


def test_slack_is_left_alone_as_long_as_it_asks(world: World) -> None:
    world.record(OutcomeKind.HELD, "job-1")
    world.slack.answers += [Answer.error("ratelimited", 429, Retry_After="3000")]
    for _ in range(3):
        world.tick(SLACK)
    assert "asks to wait" in world.tick(SLACK)
    assert len(world.slack.requests) == 1
    pause = NotificationState.from_cursor(world.cursor).channels["slack"].pause
    assert pause is not None and pause.until > datetime.now(UTC) + timedelta(minutes=40)


def test_a_refusal_fails_the_tick_once_nothing_is_lost_by_it(world: World) -> None:
    right = world.settings
    world.settings = right.model_copy(update={"slack_token": SecretStr("xoxb-wrong")})
    world.record(OutcomeKind.HELD, "job-1")
    # What went by e-mail is kept first.
    assert world.tick().endswith("email: 1 of 1 sent")
    for _ in range(2):
        with pytest.raises(RefusedNotificationError, match="TRANSAK_DRIFT_SLACK_TOKEN") as raised:
            world.tick()
        assert "fix: set it to the bot token" in str(raised.value)
        assert "xoxb" not in str(raised.value).replace("(xoxb-...)", "")
    assert len(world.slack.requests) == 1, "a wrong token is not tried at every tick"
    # The other channel goes on.
    world.record(OutcomeKind.HELD, "job-2")
    assert world.tick().endswith("email: 1 of 1 sent")

    world.settings = right
    state = NotificationState.from_cursor(world.cursor)
    state.channels["slack"].pause = Pause(until=datetime.now(UTC), reason="", is_refusal=True)
    world.cursor = state.model_dump_json()
    assert world.tick() == "slack: 2 of 2 sent; email: nothing new"
    assert len(world.subjects()) == len(world.slack_headlines()) == 2


def test_an_unexpected_fault_of_one_channel_repeats_nothing_in_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> None:
        raise RuntimeError("a fault in the program")

    monkeypatch.setattr("transak_drift.notifications.channels.notification_email", write)
    world.record(OutcomeKind.HELD, "job-1")
    said = world.tick()
    assert said == "slack: 1 of 1 sent; email: unexpected RuntimeError: a fault in the program"
    with pytest.raises(RefusedNotificationError, match="email: unexpected RuntimeError"):
        world.tick()
    assert len(world.slack.messages) == 1


def test_a_storm_is_a_digest_also_where_it_comes_slowly(world: World) -> None:
    few = NotificationBounds(messages=2)
    for number in range(3):
        world.record(OutcomeKind.HELD, f"job-{number}")
        world.tick(SLACK, few)
    assert len(world.slack.messages) == 2
    world.record(OutcomeKind.HELD, *(f"more-{number}" for number in range(300)))
    assert world.tick(SLACK, few) == "slack: 301 wait for the next digest"
    later = NotificationBounds(messages=2, period=timedelta(0))
    assert world.tick(SLACK, later) == "slack: 301 of 301 sent"
    text = world.slack.texts(CHANNEL)[2]
    assert text.startswith("*301 messages about drift of transak-i1-train-model*")
    assert "• the training is held: `301`" in text
    assert world.tick(SLACK, few) == "slack: nothing new"


def test_people_are_asked_reminded_once_an_interval_and_told_what_was_decided(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = {"approval": "manual", "approval_reminder_days": 3}
    manual = configuration(
        notifications={"slack": {"channel": CHANNEL}, "email": EMAIL}, retrain_policy=policy
    )
    for kind in (OutcomeKind.DRIFT, OutcomeKind.AWAITING_APPROVAL):
        world.record(kind, "job-1", "job-2")
    assert world.tick(manual) == "slack: 2 of 2 sent; email: 2 of 2 sent"
    assert world.slack_headlines() == [f"{HEAD} a training awaits your approval"] * 2
    text = world.slack.texts(CHANNEL)[0]
    key = drift_event("job-1").key
    assert f"• to approve: `transak-drift approve {key}`" in text
    assert f"• to decline: `transak-drift decline {key} --reason TEXT`" in text
    page = f"{DAGSTER}/guess/decide_drift_event/playground/setup?config=ops"
    assert f"<{page}" in text and "|Approve in Dagster>" in text
    assert world.tick(manual) == "slack: nothing new; email: nothing new"

    reminders = []
    for days in (2.9, 3.1, 3.2, 6.2):
        later = type("Later", (datetime,), {"now": lambda tz, d=days: NOW(tz) + timedelta(days=d)})
        monkeypatch.setattr("transak_drift.defs.drift_notification_sensor.datetime", later)
        reminders.append(world.tick(manual))
    assert [it.partition(";")[0] for it in reminders] == [
        *("slack: nothing new", "slack: 1 of 1 sent", "slack: nothing new", "slack: 1 of 1 sent")
    ]
    assert f"{HEAD} a training awaits your approval for 3 days" in world.slack_headlines()
    assert (
        "• waiting: `2 events, all answered by deciding the newest`"
        in (world.slack.texts(CHANNEL)[-1])
    )

    world.record(OutcomeKind.APPROVED, "job-2", by="anna")
    world.record(OutcomeKind.TRAINING_REQUESTED, "job-2", by="anna")
    world.record(OutcomeKind.DECLINED, "job-1", detail="by ben: a holiday", by="ben")
    world.tick(manual)
    told = "\n".join(world.slack.texts(CHANNEL)[-2:])
    assert "• approved by: `anna`" in told and "• declined: `by ben: a holiday`" in told
    asked, answers = world.mail.messages[0]["Message-ID"], world.mail.messages[-1]["In-Reply-To"]
    assert asked == answers


def test_nobody_is_asked_about_what_was_decided_in_the_meantime(world: World) -> None:
    world.record(OutcomeKind.AWAITING_APPROVAL, "job-1")
    world.record(OutcomeKind.APPROVED, "job-1", by="anna")
    assert world.tick(SLACK) == "slack: nothing new"


def test_who_labels_is_told_once_which_rows_lack_a_label(world: World) -> None:
    problems = ("2 of 9 rows have a label", "labels that the champion does not know: 'gym' (2)")
    lack = LabelVerdict(
        column="category",
        rows=9,
        labelled=2,
        problems=problems,
        value_column="description",
        without_label=(),
        classes=(),
    )
    waits = OutcomeKind.AWAITING_LABELS
    world.record(waits, "job-1", detail=lack.summary(), labels=lack)
    world.record(waits, "job-2")
    world.record(OutcomeKind.TRAINING_REQUESTED, "job-2")
    assert world.tick(SLACK) == "slack: 2 of 2 sent"
    assert sorted(world.slack_headlines()) == [
        f"{HEAD} a training is requested",
        f"{HEAD} the training awaits labels",
    ]
    [text] = [text for text in world.slack.texts(CHANNEL) if "awaits labels" in text]
    assert all(f"• awaits labels because: `{problem}`" in text for problem in problems)
    assert "transak-drift labels check" in text
    world.record(waits, "job-1", detail="1 of 9 rows has none")
    assert world.tick(SLACK) == "slack: nothing new"


def test_observations_of_another_form_are_passed_over(world: World) -> None:
    metadata: dict[str, Any]
    for metadata in (
        {},
        {"outcome": "held", "records": "none"},
        {"records": [7, {"kind": "unheard of"}, {"kind": "held"}]},
        {"records": {"kind": "held", "key": "m/j", "detail": "", "at": "no time"}},
    ):
        observation = dg.AssetObservation(ModelNames().asset(DRIFT_EVENT), metadata=metadata)
        world.instance.report_runless_asset_event(observation)
    assert world.tick(SLACK) == "slack: nothing new"


@pytest.mark.parametrize("end", [datetime(9999, 12, 31, 23, tzinfo=UTC), DAY.replace(year=1)])
def test_an_event_of_an_odd_window_holds_up_no_other(world: World, end: datetime) -> None:
    odd = a_drift_event("odd", {"description": 1.0000000000000002}, end=end)
    world.record(OutcomeKind.HELD, odd, "job-1")
    assert world.tick(SLACK) == "slack: 2 of 2 sent"


def test_what_was_sent_is_remembered_up_to_a_bound() -> None:
    state, now = ChannelState(), datetime.now(UTC)
    state.add_sent([Notification(f"{n}", None, "", "") for n in range(MAX_SENT + 1)], now)
    # Sent again, it is the newest and stays.
    state.add_sent([Notification("1", None, "", ""), Notification("new", None, "", "")], now)
    assert {name for name in ("0", "1", "2", "3", "new") if state.was_sent(name)} == {
        *("1", "3", "new")
    }
    assert len(state.model_dump_json()) < 100_000


def test_the_cursor_is_read_back_with_what_an_earlier_version_kept_and_none_begins_again() -> None:
    now = datetime.now(UTC)
    slack = ChannelState(seen=7, ended_until=now, told=["a"], sent_at=[now])
    slack.pause = Pause(until=now, reason="no", is_refusal=True)
    state = NotificationState(channels={"slack": slack, "email": ChannelState()})
    document = json.loads(state.model_dump_json(exclude_defaults=True))
    document["channels"]["slack"] |= {"awaited": {"job-1": {}}}
    assert NotificationState.from_cursor(json.dumps(document)) == state
    for cursor in (None, "", "no json", '{"of": "something else"}'):
        assert NotificationState.from_cursor(cursor) == NotificationState()


def test_a_model_without_notifications_has_no_sensor(tmp_path: Path) -> None:
    cards, silent = (
        configuration(model_name=name, monitoring_job_display_name=name, asset_prefix=name, **more)
        for name, more in (("cards", {"notifications": {"email": EMAIL}}), ("silent", {}))
    )
    definitions = build_definitions(Settings(home=tmp_path), [SLACK, cards, silent])
    names = {sensor.name for sensor in definitions.get_repository_def().sensor_defs}
    found = {name for name in names if name.endswith(SENSOR_NAME)}
    assert found == {SENSOR_NAME, f"cards_{SENSOR_NAME}"}


def test_notifications_that_would_never_be_sent_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "monitoring_config.json"
    file.write_text(
        SLACK.model_dump_json(include=set(SLACK.model_fields_set) - {"model_monitor_id"})
    )
    assert Settings(config=file).load_configs()[0].notifications == SLACK.notifications
    with pytest.raises(ConfigError, match=r"notifications.*cloud_function.*fix: remove it"):
        Settings(config=file, trigger="cloud_function").load_configs()


def test_manual_approval_is_refused_where_a_cloud_function_trains(tmp_path: Path) -> None:
    file = tmp_path / "monitoring_config.json"
    file.write_text(json.dumps(document(retrain_policy={"approval": "manual"})))
    assert Settings(config=file).load_configs()[0].retrain_policy.approval == "manual"
    with pytest.raises(ConfigError, match=r"retrain_policy\.approval.*fix: write automatic"):
        Settings(config=file, trigger="cloud_function").load_configs()


GCP_DATA = {"prediction_query": "SELECT 1 FROM t WHERE d = '{first_day}'"}
TRAINING_DATA = {"training_query": "SELECT 1 FROM t"}


@pytest.mark.parametrize(
    ("settings", "vertex", "labels", "told"),
    [
        ({}, {}, {}, {}),
        ({"trigger": "cloud_function"}, {}, {}, {"labels": "keeps no event waiting"}),
        (
            {"platform": "gcp"},
            {"prediction_dataset": "gs://bucket/{date}.csv"},
            {},
            {"labels": "cannot be counted", "labels.expected": "is not set"},
        ),
        ({"platform": "gcp"}, GCP_DATA, {}, {"labels.expected": "is not set"}),
        ({"platform": "gcp"}, GCP_DATA, {"expected": ["food"]}, {}),
        ({"platform": "gcp"}, {**GCP_DATA, **TRAINING_DATA}, {}, {}),
    ],
)
def test_labels_are_refused_where_nothing_could_wait_for_them_or_count_them(
    tmp_path: Path,
    settings: dict[str, Any],
    vertex: dict[str, Any],
    labels: dict[str, Any],
    told: dict[str, str],
) -> None:
    file = tmp_path / "monitoring_config.json"
    file.write_text(json.dumps(document(labels=labels, vertex=vertex)))
    faults = {}
    try:
        Settings(config=file, **settings).load_configs()
    except ConfigError as error:
        faults = {fault.path: fault for fault in error.faults}
    assert faults.keys() == told.keys()
    assert all(text in faults[path].problem and faults[path].fix for path, text in told.items())


def past_windows(days: int) -> list[Window]:
    """Return the last days that are over, and those that will be soon, oldest first."""
    windows, now = BOTH.windows, datetime.now(UTC)
    first = windows.of_moment(now - timedelta(days=days))
    return windows.between(first, windows.of_moment(now + timedelta(days=1)))


def record_reports(world: World, windows: Sequence[Window]) -> None:
    for window in windows:
        report = ModelNames().asset(DRIFT_REPORT)
        event = dg.AssetMaterialization(report, partition=window.key)
        world.instance.report_runless_asset_event(event)


def test_a_window_without_a_report_is_told_once_with_what_to_do(world: World) -> None:
    first, second, *later = past_windows(6)
    bounds = NotificationBounds(look_back=timedelta(days=30))
    assert world.tick(bounds=bounds) == "slack: nothing new; email: nothing new"
    world.cursor = None
    record_reports(world, [first, *later])
    # Slack is away: it hears of it later, and nobody twice.
    world.slack.answers.append(Answer(503))
    assert world.tick(bounds=bounds).endswith("email: 1 of 1 sent")
    for _ in range(2):
        world.tick(bounds=bounds)
    expected = [f"No drift report of transak-i1-train-model for {second.key}"]
    assert world.slack_headlines() == world.subjects() == expected
    [text] = world.slack.texts(CHANNEL)
    assert "transak-drift backfill monitors what was missed" in text
    assert f"partition={second.key}" in text
    # What is told is the place in the cursor, which stays as long as nothing comes to be due.
    before = world.cursor
    assert world.tick() == "slack: nothing new; email: nothing new"
    assert world.cursor == before


def test_a_window_whose_run_was_started_is_told_where_to_look(world: World) -> None:
    first, second, *later = past_windows(6)
    record_reports(world, [first, *later])
    run = dg.AssetMaterialization(ModelNames().asset(MONITORING_RUN), partition=second.key)
    world.instance.report_runless_asset_event(run)
    world.tick(SLACK, NotificationBounds(look_back=timedelta(days=30)))
    [text] = world.slack.texts(CHANNEL)
    assert "its run was started and has no result" in text


def test_what_is_long_past_when_the_sensor_begins_is_not_told(world: World) -> None:
    first, _, *later = past_windows(9)
    record_reports(world, [first, *later])
    assert world.tick() == "slack: nothing new; email: nothing new"


def test_no_training_for_the_expected_interval_is_told_once(world: World) -> None:
    config = SLACK.model_copy(update={"expected_training_interval_days": 30})
    trained = ModelNames().asset(TRAINED_MODEL)
    # As of 40 days ago, in Dagster's own storage.
    at = datetime.now(UTC) - timedelta(days=40)
    world.instance.store_event(materialization_at(at, dg.AssetMaterialization(trained)))
    bounds = NotificationBounds(look_back=timedelta(days=30))
    for _ in range(3):
        world.tick(config, bounds)
    assert world.slack_headlines() == ["No training of transak-i1-train-model for 30 days"]
    [text] = world.slack.texts(CHANNEL)
    assert "raise expected_training_interval_days" in text
