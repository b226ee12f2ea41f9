"""The trigger with everything around it that can break, and the invariant that must not."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG
from dagster._core.utils import make_new_run_id
from google.pubsub_v1 import types

from transak_drift.cli.dagster_home import make_dagster_home
from transak_drift.config.monitoring_config import parse_config
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.drift_message_sensor import TickBounds
from transak_drift.defs.keys import DRIFT_EVENT, DRIFT_EVENT_TAG, RETRAIN_JOB, ModelNames
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.dead_letters import SOURCE_MESSAGE_ATTRIBUTE
from transak_drift.pubsub.trigger_queue import ACK_DEADLINE_SECONDS, TriggerQueue
from transak_drift.trigger.inbox import Inbox, OutcomeKind, read_cursor
from transak_drift_tests.config.configurations import document
from transak_drift_tests.faults.faulty_pubsub_server import PubSubServerProcess
from transak_drift_tests.faults.sensor_process import (
    WAIT_SECONDS,
    Evaluated,
    Evaluation,
    SensorFailedError,
    SensorProcesses,
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
DRIFTED = {"description": 0.6, "type": 0.9}


class DaemonWrite(StrEnum):
    """What the daemon makes durable after an evaluation, in this order."""

    RUN = "run"
    LAUNCH = "launch"
    CURSOR = "cursor"


class BrokenLoop:
    """Pub/Sub server, sensor and Dagster instance over one directory.

    The sensor and the server are processes; the daemon's part - storing what the sensor returned -
    is done here, by the same writes to the same storage and in the same order
    (`dagster._daemon.sensor`), so that it can stop before each of them.
    """

    def __init__(
        self,
        directory: Path,
        bounds: TickBounds | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._config_text = json.dumps(document(**{"retrain_policy": POLICY, **(config or {})}))
        self._config = parse_config(self._config_text, "test")
        self._bounds = bounds or TickBounds(messages=200, wait_seconds=WAIT_SECONDS)
        self._home = directory / "home"
        self.dagster_home = make_dagster_home(directory / "dagster_home")
        self.server = PubSubServerProcess(directory / "pubsub")
        self.cursor: str | None = None
        self.clock_seconds = 0.0
        self.platform_answers = True
        # The event log, read apart from the sensor and its cursor.
        self._inbox = Inbox()
        self._recorded: set[tuple[OutcomeKind, str]] = set()
        # What was published: the kind and the monitoring job by message id.
        self.published: dict[str, tuple[Kind, str]] = {}

    def __enter__(self) -> Self:
        self.instance = dg.DagsterInstance.from_config(str(self.dagster_home))
        # Before any process is started: each would make the storage.
        self.instance.get_runs_count()
        self._sensor = SensorProcesses(str(self.dagster_home))
        self.server.start()
        self.queue = TriggerQueue(connect(self.server.endpoint), self._config)
        self.queue.ensure_exists()
        return self

    def __exit__(self, *raised: object) -> None:
        self._sensor.close()
        self.queue.close()
        self.server.kill()
        self.instance.dispose()

    # What happens.

    def publish(self, kind: Kind, job: str, copies: int = 1) -> None:
        """Publish messages."""
        for message_id in self.queue.publish_many([self._body(kind, job)] * copies):
            self.published[message_id] = (kind, job)

    def _body(self, kind: Kind, job: str) -> bytes:
        match kind:
            case Kind.TRAINS:
                return store_job(self._home, self._config, job, DRIFTED)
            case Kind.HELD:
                return store_job(self._home, self._config, job, {"description": 0.6})
            case Kind.LIES:
                store_job(self._home, self._config, job, {"description": 0.1})
                return message_body(drift_event(job, DRIFTED))
            case Kind.NOT_JSON:
                return message_body(drift_event(job, DRIFTED))[:-1]
            case Kind.FOREIGN:
                return message_body(drift_event(job, DRIFTED, monitor="churn-monitor"))
            case Kind.NO_JOB:
                return message_body(drift_event(job, DRIFTED))

    def publish_one_of_each(self, name: str) -> None:
        """Publish two copies of an event that trains and one message of each other kind."""
        for kind in Kind:
            self.publish(kind, f"{name}-{kind.replace('_', '-')}", 2 if kind == Kind.TRAINS else 1)

    def evaluate(self, at: Callable[[str], bool] = lambda name: True) -> Evaluated | None:
        """Evaluate the sensor in its process; see `sensor_process.SensorProcesses.evaluate`."""
        return self._sensor.evaluate(
            Evaluation(
                config=self._config_text,
                endpoint=self.server.endpoint,
                state_directory=str(self._home),
                cursor=self.cursor,
                bounds=self._bounds,
                clock_seconds=self.clock_seconds,
                platform_answers=self.platform_answers,
            ),
            at,
        )

    def commit(
        self,
        evaluated: Evaluated,
        stop_before: DaemonWrite | None = None,
        after: int = 0,
        *,
        launches_fail: bool = False,
    ) -> bool:
        """Make durable what the sensor returned, as the daemon does; returns whether it ended.

        The daemon dies before a write of the kind `stop_before`, after so many of them. Over
        launches that fail it goes on.
        """
        writes: Counter[DaemonWrite] = Counter()

        def dies(write: DaemonWrite) -> bool:
            if write == stop_before and writes[write] == after:
                return True
            writes[write] += 1
            return False

        for key, tags in evaluated.requests:
            known = self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: key}))
            if not known:
                if dies(DaemonWrite.RUN):
                    return False
                run = dg.DagsterRun(
                    job_name=RETRAIN_JOB,
                    run_id=make_new_run_id(),
                    tags={**tags, RUN_KEY_TAG: key},
                    status=dg.DagsterRunStatus.NOT_STARTED,
                )
                known = [self.instance.run_storage.add_run(run)]
            if known[0].status == dg.DagsterRunStatus.NOT_STARTED and not launches_fail:
                if dies(DaemonWrite.LAUNCH):
                    return False
                self.instance.run_storage.handle_run_event(
                    known[0].run_id,
                    dg.DagsterEvent(
                        event_type_value=dg.DagsterEventType.PIPELINE_STARTING.value,
                        job_name=RETRAIN_JOB,
                    ),
                    datetime.now(UTC),
                )
        if dies(DaemonWrite.CURSOR):
            return False
        self.cursor = evaluated.cursor
        return True

    def tick(self, at: Callable[[str], bool] = lambda name: True) -> bool:
        """Evaluate the sensor and commit; false where it was killed or failed."""
        try:
            evaluated = self.evaluate(at)
        except SensorFailedError:
            return False
        return evaluated is not None and self.commit(evaluated)

    def settle(self) -> None:
        """Tick, and let leases end, until nothing is left to do, and check the end."""
        self.platform_answers = True
        for _ in range(MAX_SETTLING_TICKS):
            self.server.add_seconds(LONGER_THAN_A_LEASE)
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
        assert set(runs) <= {
            self.key(job) for kind, job in self.published.values() if kind == Kind.TRAINS
        }
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
        held = {self.key(job) for kind, job in self.published.values() if kind == Kind.HELD}
        assert {key: item.kind for key, item in self._inbox.open.items()} == dict.fromkeys(
            held, OutcomeKind.HELD
        )
        trains = {self.key(job) for kind, job in self.published.values() if kind == Kind.TRAINS}
        assert set(self.runs()) == trains
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
        """Return the key of the drift event of a monitoring job."""
        return f"{MONITOR}/{job}"

    def published_as(self, name: str) -> set[str]:
        """Return the ids of the messages whose monitoring job begins with a name."""
        return {i for i, (_, job) in self.published.items() if job.startswith(name)}

    def runs(self) -> dict[str, list[dg.DagsterRun]]:
        """Return the training runs by drift event."""
        found: dict[str, list[dg.DagsterRun]] = {}
        for run in self.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB)):
            found.setdefault(run.tags[DRIFT_EVENT_TAG], []).append(run)
        return found

    def unacknowledged(self) -> set[str]:
        """Return the ids of the messages that the trigger subscription holds, leased ones too."""
        return {str(message_id) for message_id, _ in self._backlog(self.queue.subscription)}

    def dead_letters(self) -> set[str]:
        """Return the ids of the messages that were forwarded to the dead-letter topic."""
        return {
            types.PubsubMessage.deserialize(content).attributes[SOURCE_MESSAGE_ATTRIBUTE]
            for _, content in self._backlog(self.queue.dead_letter_subscription)
        }

    def _backlog(self, subscription: str) -> list[tuple[int, bytes]]:
        # The API has no call for it; the server's own database is read.
        uri = f"file:{self.server.data_file}?mode=ro"
        query = (
            "SELECT message_id, content FROM delivery "
            "JOIN subscription USING (subscription_id) WHERE subscription.name = ?"
        )
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(query, (subscription,)).fetchall()
