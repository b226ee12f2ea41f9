"""Messages to what is written, forwarded and acknowledged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from transak_drift.config.resource_names import NamedJob, monitoring_job_name
from transak_drift.drift.monitoring_job import JobState
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict
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
from transak_drift_tests.trigger.trigger_world import Platform

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


class Ticks:
    """Ticks of the intake of one model, a week and a day apart, on its real assessment."""

    def __init__(self) -> None:
        self.platform, self.inbox, self.now = Platform(MONITOR), Inbox(), MAY_1 + timedelta(days=9)

    def tick(
        self, pulled: Sequence[ReceivedMessage] = (), *, has_time: bool = True
    ) -> list[Outcome]:
        assessor = Assessor([(FIRST, self.platform)], self.now, may_ask=lambda: has_time)
        outcomes, _ = take_in(pulled, assessor.assess, {MONITOR: self.inbox}, [FIRST], self.now)
        for _, records in records_to_write(outcomes):
            self.inbox.add(records)
        self.now += timedelta(days=8)
        return outcomes


def test_messages_that_begin_with_the_same_foreign_job_are_all_kept_in_an_outage() -> None:
    ticks, jobs = Ticks(), ("job-1", "job-2", "job-3")
    foreign = monitoring_job_name("af-versicherung", LOCATION, "other", "7")
    pulled = []
    for number, job in enumerate(jobs):
        ticks.platform.put(job, {"type": 0.9}, MAY_1 + timedelta(days=1), JobState.SUCCEEDED)
        # Too long to be kept as it is.
        names = [foreign, monitoring_job_name(PROJECT, LOCATION, MONITOR, job), "-" * 5_000]
        pulled.append(ReceivedMessage(str(number), f"ack-{number}", json.dumps(names).encode()))
    ticks.platform.is_out = True
    ticks.tick(pulled[:2])
    ticks.tick(pulled[2:])
    ticks.platform.is_out = False
    ticks.tick()
    assert {event.monitoring_job_id for _, event in ticks.inbox.undecided()} == set(jobs)
    assert not ticks.inbox.waiting()


def test_a_job_is_given_up_only_when_it_was_read_and_has_not_ended() -> None:
    ticks = Ticks()
    ticks.platform.put("job-1", {}, MAY_1, JobState.UNFINISHED)
    ticks.tick([ReceivedMessage("1", "ack-1", message_body(drift_event()))])
    ticks.platform.is_out = True
    assert not ticks.tick()
    ticks.platform.is_out = False
    assert not ticks.tick(has_time=False)
    assert ticks.inbox.waiting()
    [outcome] = ticks.tick()
    assert outcome.record.reason == RejectionReason.JOB_NEVER_ENDED
