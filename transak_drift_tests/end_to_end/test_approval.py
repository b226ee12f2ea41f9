"""A person approves on a real daemon, and everything is killed at each step of it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.end_to_end.running_loop import RunningLoop
from transak_drift_tests.end_to_end.test_daemon import die_at, wait_for_the_one_training
from transak_drift_tests.trigger.drift_messages import store_job

MANUAL = {"retrain_policy": {"approval": "manual", "maximum_trainings_in_flight": 10}}


def run_command(words: tuple[str, ...], killed: str = "") -> None:
    """Run the command line; it may be killed before or after the decision is written."""
    from transak_drift.cli.main import app
    from transak_drift.defs import approval

    write_records = approval.write_records

    def write(*arguments: Any) -> None:
        for moment in ("before", "after"):
            if moment == killed:
                os.kill(os.getpid(), signal.SIGKILL)
            if moment == "before":
                write_records(*arguments)

    vars(approval)["write_records"] = write
    app(list(words))


def decided(loop: RunningLoop, *words: str, killed: str = "") -> int | None:
    return loop.dagster.run(run_command, words, killed).wait(120)


def steps(loop: RunningLoop, job: str) -> list[TriggerRecord]:
    return [record for record in loop.records() if record.key == loop.event_key(job)]


def awaits_approval(loop: RunningLoop, *jobs: str) -> bool:
    asked = {x.key for x in loop.records() if x.kind == OutcomeKind.AWAITING_APPROVAL}
    return asked >= {loop.event_key(job) for job in jobs}


def test_one_approval_is_one_training_wherever_anything_is_killed(tmp_path: Path) -> None:
    # The windows follow on each other: a training answers what waits of its own and older ones.
    ends = {"first": 1, "contested": 0}
    midnight = datetime.combine(date.today(), datetime.min.time(), UTC)
    with RunningLoop(tmp_path, MANUAL) as loop:
        messages: dict[str, bytes] = {}

        def ask(job: str) -> None:
            # Not before: a job that is there is found by polling.
            drift, end = {"description": 0.61}, midnight - timedelta(days=ends[job])
            messages[job] = store_job(loop.home, loop.config, job, drift, end=end)
            loop.queue.publish_many([messages[job]] * 3)
            loop.wait_for(f"a question about {job}", lambda: awaits_approval(loop, job))
            assert loop.trainings(job) == []

        loop.start_daemon("TICK_HELD")
        daemon = loop.dagster.daemon
        assert daemon is not None
        loop.wait_for("the first crash", daemon.poll)
        loop.start_daemon()
        ask("first")
        loop.dagster.kill()
        # The command is killed: before it wrote nothing is decided, after it the approval counts.
        approve = ("approve", loop.event_key("first"), "--by", "anna", "--reason", "new merchants")
        assert decided(loop, *approve, killed="before") == -signal.SIGKILL
        assert OutcomeKind.APPROVED not in {record.kind for record in steps(loop, "first")}
        assert decided(loop, *approve, killed="after") == -signal.SIGKILL
        assert decided(loop, *approve) == 1, "decided already"
        assert decided(loop, "decline", "first", "--reason", "no") == 1
        die_at("RUN_CREATED", "first", loop)
        loop.start_daemon()
        wait_for_the_one_training("first", loop)

        ask("contested")
        both = [
            loop.dagster.run(run_command, words)
            for words in (("approve", "contested"), ("decline", "contested", "--reason", "no"))
        ]
        assert sorted(str(process.wait(120)) for process in both) == ["0", "1"]
        is_approved = both[0].poll() == 0
        # Its messages come again, whatever was decided.
        loop.queue.publish_many(list(messages.values()))
        if is_approved:
            wait_for_the_one_training("contested", loop)
        loop.wait_for("every acknowledgement", lambda: loop.unacknowledged() == 0)
        loop.wait_for("a cursor that waits for nothing", loop.nothing_waits)
        assert len(loop.trainings()) == 1 + is_approved
        assert decided(loop, "approve", "newest") == 1

        [approval] = [x for x in steps(loop, "first") if x.kind == OutcomeKind.APPROVED]
        assert approval.by.startswith("anna (system user ")
        assert approval.reason == "new merchants"
        kinds = Counter(record.kind for record in steps(loop, "first"))
        assert kinds[OutcomeKind.AWAITING_APPROVAL] == kinds[OutcomeKind.APPROVED] == 1
        assert kinds[OutcomeKind.TRAINING_STARTED] == 1
