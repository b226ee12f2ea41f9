"""The trigger with everything around it that can break, and the invariant that must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Self

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG
from dagster._core.utils import make_new_run_id
from google.pubsub_v1 import types

from transak_drift.cli.dagster_home import make_dagster_home
from transak_drift.config.monitoring_config import parse_config
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.keys import DRIFT_EVENT, DRIFT_EVENT_TAG, RETRAIN_JOB, ModelNames
from transak_drift.platform import TemporaryPlatformError
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.dead_letters import SOURCE_MESSAGE_ATTRIBUTE
from transak_drift.pubsub.trigger_queue import ACK_DEADLINE_SECONDS, TriggerQueue
from transak_drift.trigger.inbox import Inbox, OutcomeKind, read_cursor
from transak_drift_tests.config.configurations import document
from transak_drift_tests.end_to_end.running_loop import undelivered
from transak_drift_tests.faults.faulty_pubsub_server import PubSubServerProcess
from transak_drift_tests.faults.sensor_process import (
    At,
    Evaluated,
    SensorFailedError,
    SensorProcess,
)
from transak_drift_tests.trigger.drift_messages import MONITOR, drift_event, message_body, store_job

NAMES = ModelNames()

LONGER_THAN_A_LEASE = ACK_DEADLINE_SECONDS + 10.0
MAX_SETTLING_TICKS = 12
POLICY = {"maximum_trainings_in_flight": 1_000, "minimum_anomalous_features": 2}


class Kind(StrEnum):
    """What is published, by what must become of it."""

    TRAINS = "trains"
    HELD = "held"
    LIES = "lies"
    """It claims distances that its monitoring job did not find."""
    NOT_JSON = "not_json"
    FOREIGN = "other_monitor"
    NO_JOB = "job_missing"


BAD = (Kind.NOT_JSON, Kind.FOREIGN, Kind.NO_JOB)
CLAIMED = {"description": 0.6, "type": 0.9}
FOUND = {
    Kind.TRAINS: CLAIMED,
    Kind.HELD: {"description": 0.6},
    Kind.LIES: {"description": 0.1},
}


def go_on(boundary: str) -> bool:
    """Let nothing happen at a boundary."""
    return True


def platform_is_silent(boundary: str) -> bool | Exception:
    """Let the platform answer about no monitoring job."""
    if boundary == "before read_monitoring_job":
        return TemporaryPlatformError("the platform does not answer")
    return True


class BrokenLoop:
    """Pub/Sub server, sensor and Dagster instance over one directory.

    The sensor and the server are processes; the daemon's part - storing what the sensor returned -
    is done here, by the same writes to the same storage and in the same order
    (`dagster._daemon.sensor`), so that it can stop before each of them.
    """

    def __init__(self, directory: Path) -> None:
        text = json.dumps(document(retrain_policy=POLICY))
        self._config = parse_config(text, "test")
        self._home = directory / "home"
        self.dagster_home = make_dagster_home(directory / "dagster_home")
        self.instance = dg.DagsterInstance.from_config(str(self.dagster_home))
        # Before any process is started: each would make the storage.
        self.instance.get_runs_count()
        self.server = PubSubServerProcess(directory / "pubsub")
        self.queue = TriggerQueue(connect(self.server.endpoint), self._config)
        self.queue.ensure_exists()
        endpoint = self.server.endpoint
        self._sensor = SensorProcess(text, self.dagster_home, self._home, endpoint)
        self.cursor: str | None = None
        self.clock_seconds = 0.0
        # The event log, read apart from the sensor and its cursor.
        self._inbox = Inbox()
        self._recorded: set[tuple[OutcomeKind, str]] = set()
        # What was published: the kind and the monitoring job by message id.
        self.published: dict[str, tuple[Kind, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._sensor.kill()
        self.queue.close()
        self.server.kill()
        self.instance.dispose()

    # What happens.

    def publish(self, kind: Kind, job: str, copies: int = 1) -> set[str]:
        """Publish messages, and return their ids."""
        if kind in FOUND:
            store_job(self._home, self._config, job, FOUND[kind])
        monitor = "churn-monitor" if kind == Kind.FOREIGN else MONITOR
        body = message_body(drift_event(job, CLAIMED, monitor=monitor))
        body = body[:-1] if kind == Kind.NOT_JSON else body
        published = self.queue.publish_many([body] * copies)
        self.published |= dict.fromkeys(published, (kind, job))
        return set(published)

    def publish_one_of_each(self) -> set[str]:
        """Publish two copies of an event that trains and one message of each other kind."""
        name, published = f"mixed-{len(self.published)}", set[str]()
        for kind in Kind:
            job = f"{name}-{kind.replace('_', '-')}"
            published |= self.publish(kind, job, copies=2 if kind == Kind.TRAINS else 1)
        return published

    def add_seconds(self, seconds: float = LONGER_THAN_A_LEASE) -> None:
        """Set the server's clock forward, by default until all leases have ended, or backward."""
        self.server.controls.seconds_added += seconds

    def evaluate(self, at: At = go_on) -> Evaluated | None:
        """Evaluate the sensor in its process; None where it was killed."""
        return self._sensor.evaluate(self.cursor, self.clock_seconds, at)

    def commit(
        self, evaluated: Evaluated, writes: int | None = None, *, launches_fail: bool = False
    ) -> bool:
        """Make durable what the sensor returned, as the daemon does; returns whether it ended.

        The daemon dies after so many writes. Over launches that fail it goes on.
        """
        steps: list[Callable[[], object]] = []
        for key, tags in evaluated.requests:
            known = self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: key}))
            if not known:
                run = dg.DagsterRun(
                    job_name=RETRAIN_JOB,
                    run_id=make_new_run_id(),
                    tags={**tags, RUN_KEY_TAG: key},
                    status=dg.DagsterRunStatus.NOT_STARTED,
                )
                steps.append(partial(self.instance.run_storage.add_run, run))
                known = [run]
            if known[0].status == dg.DagsterRunStatus.NOT_STARTED and not launches_fail:
                steps.append(partial(self._launch, known[0].run_id))
        steps.append(partial(setattr, self, "cursor", evaluated.cursor))
        for step in steps[:writes]:
            step()
        return writes is None or writes >= len(steps)

    def _launch(self, run_id: str) -> None:
        starting = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.PIPELINE_STARTING.value, job_name=RETRAIN_JOB
        )
        self.instance.run_storage.handle_run_event(run_id, starting, datetime.now(UTC))

    def tick(self, at: At = go_on) -> bool:
        """Evaluate the sensor and commit; false where it was killed or failed."""
        try:
            evaluated = self.evaluate(at)
        except SensorFailedError:
            return False
        return evaluated is not None and self.commit(evaluated)

    def settle(self) -> None:
        """Tick, and let leases end, until nothing is left to do, and check the end."""
        for _ in range(MAX_SETTLING_TICKS):
            self.add_seconds()
            self.tick()
            if not self.unacknowledged() and not self._unsettled():
                break
        self.check_settled()

    # What must hold.

    def check(self) -> None:
        """Check what holds at any time: no event trains twice, no outcome is lost."""
        runs = self.runs()
        left = self.unacknowledged()
        dead = self.dead_letters()
        # Last, as the sensor writes before it acknowledges.
        self._read_event_log()
        assert dead <= {i for i, (kind, _) in self.published.items() if kind in BAD}
        for key, trainings in runs.items():
            assert len(trainings) == 1, f"{key} was trained {len(trainings)} times"
        assert runs.keys() <= self._keys(Kind.TRAINS)
        for key in self._inbox.answered:
            (run,) = runs[key]
            assert run.status != dg.DagsterRunStatus.NOT_STARTED
        for message_id, (kind, job) in self.published.items():
            if message_id in left or self._waits(job):
                continue
            match kind:
                case Kind.TRAINS | Kind.HELD:
                    assert self._inbox.knows(self.key(job)), f"{job} is lost"
                case Kind.LIES:
                    assert (OutcomeKind.NOT_DRIFT, self.key(job)) in self._recorded
                case _:
                    assert message_id in dead, f"{job} is lost"

    def check_settled(self) -> None:
        """Check what holds in the end: every message is acknowledged, every event is answered."""
        assert self.unacknowledged() == set()
        self.check()
        assert {item.kind for item in self._inbox.open.values()} <= {OutcomeKind.HELD}
        assert self._inbox.open.keys() == self._keys(Kind.HELD)
        assert self.runs().keys() == self._keys(Kind.TRAINS)
        # The cursor is no more than the sum of the log.
        [inbox] = read_cursor(self.cursor).values()
        place = {"read_until"}
        assert inbox.model_dump(exclude=place) == self._inbox.model_dump(exclude=place)

    def _read_event_log(self) -> None:
        while found := read_records(
            self.instance, NAMES.asset(DRIFT_EVENT), after=self._inbox.read_until
        ):
            for storage_id, records in found:
                self._inbox.add(records)
                self._inbox.read_until = storage_id
                self._recorded |= {(record.kind, record.key) for record in records}

    def _waits(self, job: str) -> bool:
        return any(key.endswith(f"/{job}") for key in self._inbox.waiting())

    def _unsettled(self) -> bool:
        self._read_event_log()
        return any(item.kind != OutcomeKind.HELD for item in self._inbox.open.values())

    def key(self, job: str) -> str:
        return f"{MONITOR}/{job}"

    def _keys(self, kind: Kind) -> set[str]:
        return {self.key(job) for published, job in self.published.values() if published == kind}

    def runs(self) -> dict[str, list[dg.DagsterRun]]:
        """Return the training runs by drift event."""
        found: dict[str, list[dg.DagsterRun]] = {}
        for run in self.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB)):
            found.setdefault(run.tags[DRIFT_EVENT_TAG], []).append(run)
        return found

    def unacknowledged(self) -> set[str]:
        """Return the ids of the messages that the trigger subscription holds, leased ones too."""
        held = undelivered(self.server.data_file, self.queue.subscription)
        return {str(message_id) for message_id, _ in held}

    def dead_letters(self) -> set[str]:
        """Return the ids of the messages that were forwarded to the dead-letter topic."""
        return {
            types.PubsubMessage.deserialize(content).attributes[SOURCE_MESSAGE_ATTRIBUTE]
            for _, content in undelivered(
                self.server.data_file, self.queue.dead_letter_subscription
            )
        }
