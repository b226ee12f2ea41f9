"""Assessed messages to what is written, forwarded and acknowledged."""

from __future__ import annotations

from transak_drift.trigger.assessment import Assessment, Verdict
from transak_drift.trigger.inbox import Inbox, KeptMessage, OutcomeKind, TriggerRecord
from transak_drift.trigger.intake import take_in, waiting_message
from transak_drift.trigger.message import NamedJob, ReceivedMessage, RejectionReason
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import LOCATION, MAY_1, PROJECT, drift_event

FIRST = configuration()
SECOND = configuration(model_name="cards", monitoring_job_display_name="cards")
JOB = NamedJob(PROJECT, LOCATION, SECOND.model_monitor_id, "job-1")
FORMER = "projects/af-finanzen/a-job-of-which-no-model-was-known"
KEPT = KeptMessage(message_id="1", body="{}")


def inboxes() -> dict[str, Inbox]:
    """A message waits in the first model's inbox, as nobody knew whose job it names."""
    first = Inbox()
    first.add(
        1,
        [
            TriggerRecord(
                kind=OutcomeKind.WAITING,
                key=FORMER,
                detail="no answer",
                at=MAY_1,
                messages=1,
                message=KEPT,
            )
        ],
    )
    return {FIRST.model_monitor_id: first, SECOND.model_monitor_id: Inbox()}


def test_what_waits_elsewhere_ends_only_once_its_outcome_is_written() -> None:
    event = drift_event(monitor=SECOND.model_monitor_id)
    drift = Assessment(Verdict.DRIFT, "drift", config=SECOND, job=JOB, event=event)
    intake = take_in([(waiting_message(FORMER, KEPT), drift)], inboxes(), [FIRST, SECOND], MAY_1)
    assert [(m, [r.kind for r in part]) for m, part in intake.records.items()] == [
        (SECOND.model_monitor_id, [OutcomeKind.DRIFT])
    ]
    assert [(m, [r.key for r in part]) for m, part in intake.ended.items()] == [
        (FIRST.model_monitor_id, [FORMER])
    ]


def test_what_waits_goes_on_waiting_where_its_dead_letter_cannot_be_published() -> None:
    failed = Assessment(Verdict.REJECTED, "failed", RejectionReason.JOB_FAILED, SECOND, JOB)
    intake = take_in([(waiting_message(FORMER, KEPT), failed)], inboxes(), [FIRST, SECOND], MAY_1)
    assert len(intake.dead_letters) == 1
    assert [record.key for record in intake.ended[FIRST.model_monitor_id]] == [FORMER]
    kept = intake.without_dead_letters()
    assert not any([*kept.records.values(), *kept.ended.values(), kept.dead_letters])


def test_copies_are_one_record_and_all_are_acknowledged() -> None:
    event = drift_event(monitor=SECOND.model_monitor_id)
    drift = Assessment(Verdict.DRIFT, "drift", config=SECOND, job=JOB, event=event)
    copies = [(ReceivedMessage(str(n), f"ack-{n}", b""), drift) for n in range(5)]
    intake = take_in(copies, inboxes(), [FIRST, SECOND], MAY_1)
    assert intake.acknowledge == [f"ack-{n}" for n in range(5)]
    [record] = intake.records[SECOND.model_monitor_id]
    assert (record.kind, record.messages) == (OutcomeKind.DRIFT, 5)
