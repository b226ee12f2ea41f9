"""Messages to what is written, forwarded and acknowledged."""

from __future__ import annotations

import json
from datetime import timedelta

from transak_drift.config.resource_names import NamedJob, monitoring_job_name
from transak_drift.drift.monitoring_job import JobState
from transak_drift.trigger.assessment import Assessment, Verdict
from transak_drift.trigger.inbox import Inbox, KeptMessage, OutcomeKind, TriggerRecord
from transak_drift.trigger.intake import Outcome, records_to_write, take_in
from transak_drift.trigger.message import ReceivedMessage, RejectionReason
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import (
    LOCATION,
    MAY_1,
    MONITOR,
    PROJECT,
    drift_event,
    message_body,
)
from transak_drift_tests.trigger.trigger_world import Fault, TriggerWorld

FIRST = configuration()
SECOND = configuration(model_name="cards", monitoring_job_display_name="cards")
JOB = NamedJob(PROJECT, LOCATION, SECOND.model_monitor_id, "job-1")
FORMER = "projects/af-finanzen/a-job-of-which-no-model-was-known"
DRIFT = Assessment(
    Verdict.DRIFT, "drift", SECOND, JOB, event=drift_event(monitor=SECOND.model_monitor_id)
)
FAILED = Assessment(Verdict.REJECTED, "failed", SECOND, JOB, RejectionReason.JOB_FAILED)


def taken(assessment: Assessment, *pulled: ReceivedMessage, waits: bool = False) -> list[Outcome]:
    """Take in; a message may wait in the first model's inbox, as nobody knew whose job it names."""
    inboxes = {config.model_monitor_id: Inbox() for config in (FIRST, SECOND)}
    waiting = TriggerRecord(
        kind=OutcomeKind.WAITING,
        key=FORMER,
        detail="no answer",
        at=MAY_1,
        messages=1,
        message=KeptMessage(message_id="1", body="{}"),
    )
    inboxes[FIRST.model_monitor_id].add([waiting] if waits else [])
    outcomes, problems = take_in(pulled, lambda body: assessment, inboxes, [FIRST, SECOND], MAY_1)
    assert not problems
    return outcomes


def test_what_waits_elsewhere_ends_only_once_its_outcome_is_written() -> None:
    written = records_to_write(taken(DRIFT, waits=True))
    assert [(monitor, [(r.kind, r.key) for r in records]) for monitor, records in written] == [
        (SECOND.model_monitor_id, [(OutcomeKind.DRIFT, f"{SECOND.model_monitor_id}/job-1")]),
        (FIRST.model_monitor_id, [(OutcomeKind.NOTICE, FORMER)]),
    ]


def test_what_waits_and_fails_is_one_outcome_with_its_dead_letter() -> None:
    [outcome] = taken(FAILED, waits=True)
    assert outcome.dead_letter is not None
    assert outcome.dead_letter[1:] == ("job_failed", "failed")
    assert outcome.waited == [(FIRST.model_monitor_id, FORMER)]


def test_copies_are_one_record_and_all_are_acknowledged() -> None:
    copies = [ReceivedMessage(str(n), f"ack-{n}", b"%d" % (n % 2)) for n in range(5)]
    [outcome] = taken(DRIFT, *copies, copies[0]._replace(ack_id="again"), waits=True)
    assert sorted(outcome.ack_ids) == ["ack-0", "ack-1", "ack-2", "ack-3", "ack-4", "again"]
    assert (outcome.record.kind, outcome.record.messages) == (OutcomeKind.DRIFT, 5)


def test_each_rejected_message_is_a_dead_letter_of_its_own() -> None:
    copies = [ReceivedMessage(str(n), f"ack-{n}", b"{") for n in range(3)]
    outcomes = taken(FAILED, *copies)
    assert [item.dead_letter and item.dead_letter[0] for item in outcomes] == copies
    assert [item.ack_ids for item in outcomes] == [["ack-0"], ["ack-1"], ["ack-2"]]


def test_messages_that_begin_with_the_same_foreign_job_are_all_kept_in_an_outage() -> None:
    world, jobs = TriggerWorld(FIRST), ("job-1", "job-2", "job-3")
    foreign = monitoring_job_name("af-versicherung", LOCATION, "other", "7")
    for job in jobs:
        world.platform.put(job, {"type": 0.9})
        # Too long to be kept as it is.
        names = [foreign, monitoring_job_name(PROJECT, LOCATION, MONITOR, job), "-" * 5_000]
        world.subscription.publish(json.dumps(names).encode())
    for _ in range(2):
        world.tick(2, list.sort, Fault(is_out=True))
    world.tick(0, list.sort)
    inbox = world.inbox()
    assert {event.monitoring_job_id for _, event in inbox.undecided()} == set(jobs)
    assert not inbox.waiting()


def test_a_job_is_given_up_only_when_it_was_read_and_has_not_ended() -> None:
    world = TriggerWorld(FIRST)
    world.platform.put("job-1", {}, state=JobState.UNFINISHED)
    world.subscription.publish(message_body(drift_event()))
    for fault in (None, Fault(is_out=True), Fault(has_no_time=True)):
        world.tick(1, list.sort, fault)
        assert world.inbox().waiting()
        world.now += timedelta(days=8)
    world.tick(0, list.sort)
    assert world.dead_letters == [("1", RejectionReason.JOB_NEVER_ENDED)]
