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
DAGSTER = "https://dagster.example.com/x"
NOWHERE = NotificationTexts(CONFIG, ["drift_report"], ["drift_event"], None, on_vertex=False)
EVERYWHERE = NotificationTexts(
    CONFIG, ["i2", "drift_report"], ["i2", "drift_event"], f"{DAGSTER}/", True
)
ADDRESSES = EmailNotification(sender="drift@example.com", recipients=("a@example.com",))
KEY = f"{MONITOR}/job-1"
REPORT = "/assets/i2/drift_report?view=partitions&partition=2026-05-04"


def record(kind: OutcomeKind, detail: str = "because", job: str = "job-1") -> TriggerRecord:
    return TriggerRecord(kind=kind, key=f"{MONITOR}/{job}", detail=detail, at=MIDNIGHT)


def decision(
    kind: OutcomeKind = OutcomeKind.HELD,
    detail: str = "because",
    job: str = "job-1",
    features: tuple[str, ...] = ("description",),
    texts: NotificationTexts = EVERYWHERE,
) -> Notification:
    event = drift_event(job, dict.fromkeys(features, 0.61), end=MIDNIGHT)
    return texts.decision(record(kind, detail, job), event, run_id="run-1")


def training_end(
    version: str | None = "7", promoted: bool = True, texts: NotificationTexts = EVERYWHERE
) -> Notification:
    pages = {"Training on Vertex AI": "https://console.example.com", "Monitor": None}
    return texts.training_end(
        KEY,
        run_id="run-1",
        version=version,
        promoted=promoted,
        reason="because",
        report_page=REPORT,
        further_pages=pages if texts is EVERYWHERE else None,
    )


@pytest.mark.parametrize(
    ("kind", "result", "reasons"),
    [
        (OutcomeKind.TRAINING_REQUESTED, "a training is requested", []),
        (OutcomeKind.HELD, "the training is held", ["held because"]),
        (OutcomeKind.SUPERSEDED, "superseded, no training of its own", ["superseded because"]),
    ],
)
def test_a_decision_is_told_with_day_features_and_reason(
    kind: OutcomeKind, result: str, reasons: list[str]
) -> None:
    told = decision(kind, texts=NOWHERE)
    assert told.headline == f"Drift of transak-i1-train-model on 2026-05-04: {result}"
    feature = ("feature description", "distance 0.6100, threshold 0.3")
    because = [(name, "because") for name in reasons]
    assert told.lines == (feature, *because, ("monitoring job", "job-1"))
    assert told.links == ()


@pytest.mark.parametrize(
    ("version", "promoted", "says"),
    [
        ("7", True, "new champion: version 7"),
        ("7", False, "challenger not promoted, the champion stays: version 7"),
        (None, False, "training failed, the champion stays"),
    ],
)
def test_the_end_of_a_training_answers_the_event(
    version: str | None, promoted: bool, says: str
) -> None:
    told = training_end(version, promoted, NOWHERE)
    assert told.headline == f"Drift of transak-i1-train-model on 2026-05-04: {says}"
    assert told.lines == (("reason", "because"), ("monitoring job", "job-1"))
    assert told.answers == decision().identity


def test_an_event_is_told_when_it_is_decided_and_when_it_is_settled_and_at_no_other_step() -> None:
    found = {kind: identity_of(record(kind)) for kind in OutcomeKind}
    assert {kind: identity for kind, identity in found.items() if identity} == {
        OutcomeKind.HELD: decision().identity,
        OutcomeKind.TRAINING_REQUESTED: decision().identity,
        OutcomeKind.SUPERSEDED: training_end().identity,
    }
    assert training_end().identity == settled_identity(KEY) != decision().identity


def test_links_lead_to_report_run_and_console() -> None:
    addresses = dict(decision().links)
    assert list(addresses) == ["Drift report", "description on Vertex AI", "Training run"]
    assert addresses["Training run"] == f"{DAGSTER}/runs/run-1"
    assert addresses["Drift report"] == f"{DAGSTER}{REPORT}"
    assert addresses["description on Vertex AI"].startswith(
        "https://console.cloud.google.com/vertex-ai/model-monitoring/locations/europe-west6/"
    )
    assert training_end().links == (
        ("Training run", f"{DAGSTER}/runs/run-1"),
        ("Drift report", f"{DAGSTER}{REPORT}"),
        ("Training on Vertex AI", "https://console.example.com"),
    )


def test_a_digest_counts_all_and_shows_some() -> None:
    kinds = [OutcomeKind.TRAINING_REQUESTED, *[OutcomeKind.HELD] * 99]
    many = [decision(kind, job=f"job-{n}") for n, kind in enumerate(kinds)]
    told = EVERYWHERE.digest(many)
    assert told.headline == "100 messages about drift of transak-i1-train-model"
    assert told.lines[:2] == (("the training is held", "99"), ("a training is requested", "1"))
    assert told.lines[-1] == ("and more", "90")
    assert len(told.lines) == 13
    assert [title for title, _ in told.links] == ["Drift events"]
    assert EVERYWHERE.digest(many[::-1]).identity == told.identity
    assert EVERYWHERE.digest(many[1:]).identity != told.identity


def test_slack_sees_no_markup_mention_or_link_in_a_value() -> None:
    hostile = "<!channel> <https://evil.example|ok> & `x` *b*\n_i_ https://evil.example"
    told = decision(detail=hostile, features=(hostile,))
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
    told = decision(features=("ä" * 256,))
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

    first, other, end = decision(), decision(job="job-2"), training_end()
    sent, again = email(first, MIDNIGHT), email(first, datetime(2026, 6, 1, tzinfo=UTC))
    assert sent["Message-ID"] == again["Message-ID"] != email(other, MIDNIGHT)["Message-ID"]
    assert email(end, MIDNIGHT)["In-Reply-To"] == sent["Message-ID"]
    assert "In-Reply-To" not in sent


@settings(max_examples=25)
@given(text=st.text(max_size=2_000), name=st.text(min_size=1, max_size=300))
def test_any_text_makes_a_message_of_bounded_length(text: str, name: str) -> None:
    told = decision(detail=text, features=tuple(f"{name}{n}" for n in range(200)))
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
