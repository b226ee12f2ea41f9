"""What notifications say, in Slack's markup and as e-mails, and what hostile text does to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.sections import EmailNotification
from transak_drift.notifications.texts import (
    MAX_SLACK_LENGTH,
    Notification,
    NotificationTexts,
    TrainingEnd,
    decided_identity,
    identity_of,
    notification_email,
    settled_identity,
    slack_text,
)
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.config.configurations import configuration, faults_after
from transak_drift_tests.trigger.drift_messages import MONITOR, drift_event

CONFIG = configuration()
MIDNIGHT = datetime(2026, 5, 5, tzinfo=UTC)
NOWHERE = NotificationTexts(CONFIG, ["drift_report"], ["drift_event"], None, on_vertex=False)
EVERYWHERE = NotificationTexts(
    CONFIG, ["i2", "drift_report"], ["i2", "drift_event"], "https://dagster.example.com/x/", True
)
ADDRESSES = EmailNotification(sender="drift@example.com", recipients=("a@example.com",))


def outcome(
    kind: OutcomeKind, detail: str = "because", job: str = "job-1", feature: str = "description"
) -> TriggerRecord:
    event = drift_event(job, {feature: 0.61}, end=MIDNIGHT)
    return TriggerRecord(kind=kind, key=event.key, detail=detail, at=MIDNIGHT, event=event)


def training(version: str | None, promoted: bool, reason: str = "because") -> TrainingEnd:
    return TrainingEnd(f"{MONITOR}/job-1", MIDNIGHT, "run-1", version, promoted, reason)


@pytest.mark.parametrize(
    ("kind", "result", "reasons"),
    [
        (OutcomeKind.TRAINING_REQUESTED, "a training is requested", []),
        (OutcomeKind.HELD, "the training is held", [("held because", "because")]),
        (
            OutcomeKind.SUPERSEDED,
            "superseded, no training of its own",
            [("superseded because", "because")],
        ),
    ],
)
def test_a_decision_is_told_with_day_features_and_reason(
    kind: OutcomeKind, result: str, reasons: list[tuple[str, str]]
) -> None:
    told = NOWHERE.decision(outcome(kind))
    assert told.headline == f"Drift of transak-i1-train-model on 2026-05-04: {result}"
    feature = ("feature description", "distance 0.6100, threshold 0.3")
    assert told.lines == (feature, *reasons, ("monitoring job", "job-1"))
    assert told.links == ()


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (training("7", True), "new champion: version 7"),
        (training("7", False), "challenger not promoted, the champion stays: version 7"),
        (training(None, False), "training failed, the champion stays"),
    ],
)
def test_the_end_of_a_training_answers_the_event(end: TrainingEnd, says: str) -> None:
    told = NOWHERE.training_end(end)
    assert told.headline == f"Drift of transak-i1-train-model on 2026-05-04: {says}"
    assert told.lines == (("reason", "because"), ("monitoring job", "job-1"))
    assert told.answers == decided_identity(end.key) != told.identity


def test_an_event_is_told_when_it_is_decided_and_when_it_is_settled_and_at_no_other_step() -> None:
    found = {kind: identity_of(outcome(kind)) for kind in OutcomeKind}
    key = f"{MONITOR}/job-1"
    assert {kind: identity for kind, identity in found.items() if identity} == {
        OutcomeKind.HELD: decided_identity(key),
        OutcomeKind.TRAINING_REQUESTED: decided_identity(key),
        OutcomeKind.SUPERSEDED: settled_identity(key),
    }
    assert NOWHERE.training_end(training("7", True)).identity == settled_identity(key)


def test_links_lead_to_report_run_and_console() -> None:
    told = EVERYWHERE.decision(outcome(OutcomeKind.HELD), run_id="run-1")
    addresses = dict(told.links)
    assert list(addresses) == ["Drift report", "description on Vertex AI", "Training run"]
    dagster = "https://dagster.example.com/x"
    assert addresses["Training run"] == f"{dagster}/runs/run-1"
    assert addresses["Drift report"].startswith(f"{dagster}/assets/i2/drift_report?")
    assert "2026-05-04" in addresses["Drift report"]
    assert addresses["description on Vertex AI"].startswith(
        "https://console.cloud.google.com/vertex-ai/model-monitoring/locations/europe-west6/"
    )
    end = replace(training("7", True), console_url="https://console.example.com")
    assert [title for title, _ in EVERYWHERE.training_end(end).links] == [
        "Training run",
        "Training on Vertex AI",
        "Drift report",
        "Monitor on Vertex AI",
    ]


def test_a_digest_counts_all_and_shows_some() -> None:
    many = [
        NOWHERE.decision(outcome(kind, job=f"job-{n}"))
        for n, kind in enumerate([OutcomeKind.TRAINING_REQUESTED, *[OutcomeKind.HELD] * 999])
    ]
    told = EVERYWHERE.digest(many)
    assert told.headline == "1000 messages about drift of transak-i1-train-model"
    assert told.lines[:2] == (("the training is held", "999"), ("a training is requested", "1"))
    assert told.lines[-1] == ("and more", "990")
    assert len(told.lines) == 13
    assert [title for title, _ in told.links] == ["Drift events"]
    assert EVERYWHERE.digest(many[::-1]).identity == told.identity
    assert EVERYWHERE.digest(many[1:]).identity != told.identity


def test_slack_sees_no_markup_mention_or_link_in_a_value() -> None:
    hostile = "<!channel> <https://evil.example|ok> & `x` *b*\n_i_ https://evil.example"
    told = EVERYWHERE.decision(outcome(OutcomeKind.HELD, hostile, feature=hostile))
    text = slack_text(told)
    links = f"\n{text.rpartition(chr(10))[2]}"
    body = text.removesuffix(links)
    assert "<" not in body and ">" not in body
    assert "&lt;!channel&gt; &lt;https://evil.example|ok&gt; &amp; ˋxˋ *b* _i_" in body
    reason = next(line for line in body.splitlines() if line.startswith("• held because"))
    assert reason.count("`") == 2 and reason.endswith("`")
    # Every `<` is the beginning of a link of ours.
    assert links.count("<") == links.count("|") == len(told.links)
    assert all(part.startswith("https://") for part in links.split("<")[1:])


def test_a_link_that_takes_all_the_room_is_left_out_of_slack_alone() -> None:
    told = EVERYWHERE.decision(outcome(OutcomeKind.HELD, feature="ä" * 256), run_id="run-1")
    text = slack_text(told)
    assert "on Vertex AI" not in text
    assert text.splitlines()[-1].endswith("/runs/run-1|Training run>")
    assert "• monitoring job: `job-1`" in text
    assert "on Vertex AI" in str(notification_email(told, ADDRESSES, MIDNIGHT).get_content())


def test_an_email_has_no_header_of_a_text() -> None:
    hostile = "x\r\nBcc: victim@example.com\r\n\r\nbody"
    email = notification_email(Notification("id", None, hostile, ""), ADDRESSES, MIDNIGHT)
    message = message_from_bytes(email.as_bytes(), policy=default)
    assert message["Bcc"] is None
    assert message["Subject"] == "x Bcc: victim@example.com body"
    assert message["To"] == "a@example.com"


def test_the_message_id_is_the_events_own() -> None:
    def email(told: Notification, at: datetime) -> dict[str, str]:
        return dict(notification_email(told, ADDRESSES, at).items())

    first = NOWHERE.decision(outcome(OutcomeKind.HELD))
    other = NOWHERE.decision(outcome(OutcomeKind.HELD, job="job-2"))
    end = NOWHERE.training_end(training("7", True))
    sent, again = email(first, MIDNIGHT), email(first, datetime(2026, 6, 1, tzinfo=UTC))
    assert sent["Message-ID"] == again["Message-ID"] != email(other, MIDNIGHT)["Message-ID"]
    assert email(end, MIDNIGHT)["In-Reply-To"] == sent["Message-ID"]
    assert "In-Reply-To" not in sent


@settings(max_examples=25)
@given(text=st.text(max_size=2_000), name=st.text(min_size=1, max_size=300))
def test_any_text_makes_a_message_of_bounded_length(text: str, name: str) -> None:
    event = drift_event("job", {f"{name}{n}": 0.5 for n in range(200)})
    record = outcome(OutcomeKind.HELD, text).model_copy(update={"event": event})
    told = EVERYWHERE.decision(record)
    told = replace(told, lines=told.lines * 3, links=(*told.links, (name, "http://a")))
    assert len(slack_text(told)) <= MAX_SLACK_LENGTH
    message = notification_email(told, ADDRESSES, MIDNIGHT).as_bytes()
    parsed = message_from_bytes(message, policy=default)
    body = parsed.get_content().splitlines()
    assert len(body) == 1 + 1 + len(told.lines) + 1 + len(told.links)
    assert max(map(len, message.split(b"\r\n"))) <= 998
    assert {key for key, _ in parsed.items()} == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type",
        "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("channel", "wrong", "key"),
    [
        ("slack", {"channel": "drift"}, "channel"),
        ("slack", {"channel": "#a b"}, "channel"),
        ("slack", {"token": "xoxb"}, "token"),
        ("email", {"recipients": []}, "recipients"),
        ("email", {"recipients": ["a@b.ch,c@d.ch"]}, "recipients[0]"),
        ("email", {"sender": "A <a@b.ch>"}, "sender"),
        ("email", {"sender": "a@b.ch\r\nBcc:c@d.ch"}, "sender"),
    ],
)
def test_a_wrong_setting_is_named(channel: str, wrong: dict[str, object], key: str) -> None:
    right = {"slack": {"channel": "#a"}, "email": {"sender": "a@b.ch", "recipients": ["a@b.ch"]}}
    [fault] = faults_after(notifications={channel: {**right[channel], **wrong}}).values()
    assert fault.path == f"notifications.{channel}.{key}"
    assert fault.fix


def test_a_channel_is_a_name_or_an_id_and_one_is_required() -> None:
    for channel in ("#ml-drift", "C0123456789", "#über_uns"):
        assert faults_after(notifications={"slack": {"channel": channel}}) == {}
    assert list(faults_after(notifications={})) == ["notifications"]
