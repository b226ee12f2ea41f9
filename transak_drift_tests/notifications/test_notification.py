"""What notifications say, in Slack's markup and as e-mails, and what hostile text does to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.sections import EmailNotification
from transak_drift.notifications.texts import (
    MAX_SLACK_LENGTH,
    WHEN_ESCALATED,
    Notification,
    NotificationTexts,
    identity_of,
    notification_email,
    settled_identity,
    slack_text,
)
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.config.configurations import configuration
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
REQUESTED, HELD = OutcomeKind.TRAINING_REQUESTED, OutcomeKind.HELD
SUPERSEDED = OutcomeKind.SUPERSEDED
DRIFTED = ("feature description", "distance 0.6100, threshold 0.3")
REASON = ("reason", "because")
REPORT = "/assets/i2/drift_report?view=partitions&partition=2026-05-04"


def record(kind: OutcomeKind, detail: str = "because", job: str = "job-1") -> TriggerRecord:
    return TriggerRecord(kind=kind, key=f"{MONITOR}/{job}", detail=detail, at=MIDNIGHT)


def decision(
    kind: OutcomeKind = HELD,
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


def test_a_drift_that_is_escalated_is_told_once_however_many_events_it_has() -> None:
    escalated = OutcomeKind.ESCALATED
    first, second = (decision(escalated, job=job, texts=NOWHERE) for job in ("job-1", "job-2"))
    assert "a person has to decide" in first.headline
    assert first.lines[:3] == (
        DRIFTED,
        ("escalated because", "because"),
        ("what to do", WHEN_ESCALATED),
    )
    assert first.identity == second.identity == identity_of(record(escalated))
    other = decision(escalated, detail="rolled back", texts=NOWHERE)
    assert other.identity != first.identity


@pytest.mark.parametrize(
    ("told", "says", "lines"),
    [
        (decision(REQUESTED, texts=NOWHERE), "a training is requested", [DRIFTED]),
        (
            decision(HELD, texts=NOWHERE),
            "the training is held",
            [DRIFTED, ("held because", "because")],
        ),
        (
            decision(SUPERSEDED, texts=NOWHERE),
            "superseded, no training of its own",
            [DRIFTED, ("superseded because", "because")],
        ),
        (training_end("7", True, NOWHERE), "new champion: version 7", [REASON]),
        (
            training_end("7", False, NOWHERE),
            "challenger not promoted, the champion stays: version 7",
            [REASON],
        ),
        (training_end(None, False, NOWHERE), "training failed, the champion stays", [REASON]),
    ],
)
def test_what_is_told_of_an_event(
    told: Notification, says: str, lines: list[tuple[str, str]]
) -> None:
    assert told.headline == f"Drift of transak-i1-train-model on 2026-05-04: {says}"
    assert told.lines == (*lines, ("monitoring job", "job-1"))
    assert told.links == ()
    # An event is told when it is decided and when it is settled, and at no other step.
    decided = identity_of(record(HELD))
    is_first = told.identity == decided == identity_of(record(REQUESTED))
    assert is_first or told.identity == settled_identity(KEY) == identity_of(record(SUPERSEDED))
    assert told.answers == (None if is_first else decided)


def test_a_training_whose_window_was_configured_before_is_told_all_the_same() -> None:
    monthly = replace(EVERYWHERE, config=configuration(monitoring_window="month"))
    assert training_end(texts=monthly).headline == training_end().headline


def test_no_other_step_of_an_event_is_told() -> None:
    told = {kind for kind in OutcomeKind if identity_of(record(kind))}
    asked, declined = OutcomeKind.AWAITING_APPROVAL, OutcomeKind.DECLINED
    others = {OutcomeKind.ESCALATED, OutcomeKind.AWAITING_LABELS}
    assert told == {REQUESTED, HELD, SUPERSEDED, asked, declined} | others


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
    kinds = [REQUESTED, *[HELD] * 99]
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


def test_an_email_has_no_header_of_a_text_and_the_message_id_of_its_event() -> None:
    def email(told: Notification, at: datetime = MIDNIGHT) -> EmailMessage:
        message = notification_email(told, ADDRESSES, at)
        return message_from_bytes(message.as_bytes(), policy=default)

    hostile = email(Notification("id", None, "x\r\nBcc: victim@example.com\r\n\r\nbody", ""))
    assert hostile["Bcc"] is None
    assert hostile["Subject"] == "x Bcc: victim@example.com body"
    assert hostile["To"] == "a@example.com"

    sent, again = email(decision()), email(decision(), datetime(2026, 6, 1, tzinfo=UTC))
    assert sent["Message-ID"] == again["Message-ID"] != email(decision(job="2"))["Message-ID"]
    assert email(training_end())["In-Reply-To"] == sent["Message-ID"]
    assert "In-Reply-To" not in sent


@settings(max_examples=15)
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
