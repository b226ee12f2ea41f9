"""Drains a backlog of drift messages: through the real sensor, and by the bare client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG
from dagster._core.utils import make_new_run_id
from google.pubsub_v1 import SubscriberClient

from benchmarks.contenders.measurement import peak_memory_bytes, resident_memory_bytes
from transak_drift.cli.dagster_home import make_dagster_home
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.drift_message_sensor import build_drift_message_sensor
from transak_drift.defs.keys import (
    RETRAIN_JOB,
)
from transak_drift.defs.local_resources import LocalPlatformResource, LocalTriggerQueueResource
from transak_drift.defs.training import retrain_job
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import PubSubClients, connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.end_to_end.running_loop import count_unacknowledged
from transak_drift_tests.trigger.drift_messages import store_job

_MESSAGES_A_CALL = 1_000
_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Drained:
    """What it took the sensor to drain a backlog.

    Args:
        messages: how many messages.
        ticks: how many ticks.
        evaluation_seconds: in the sensor: pull, read jobs, record, acknowledge, decide.
        run_seconds: storing the runs that it requested.
        requests: runs requested.
        longest_tick_seconds: the longest evaluation.
        memory_before_bytes: resident memory after a first tick with nothing to do.
        peak_memory_bytes: the process's peak.
    """

    messages: int
    ticks: int
    evaluation_seconds: float
    run_seconds: float
    requests: int
    longest_tick_seconds: float
    memory_before_bytes: int
    peak_memory_bytes: int

    @property
    def messages_a_second(self) -> float:
        """Messages through the whole path."""
        return self.messages / self.evaluation_seconds


class Workbench:
    """An embedded Pub/Sub server, a Dagster instance and a configuration in a directory.

    Args:
        directory: an empty directory.
        policy: the retrain policy.
    """

    def __init__(self, directory: Path, policy: Mapping[str, int]) -> None:
        self.config: MonitoringConfig = configuration(retrain_policy=dict(policy))
        self._cursor: str | None = None
        self._home = directory / "home"
        self._pubsub_directory = directory / "pubsub"
        self._server = ensure_embedded_pubsub(self._pubsub_directory)
        self.instance = dg.DagsterInstance.from_config(
            str(make_dagster_home(directory / "dagster_home"))
        )
        self.clients: PubSubClients = connect(self._server.endpoint)
        self.queue = TriggerQueue(self.clients, self.config)
        self.queue.ensure_exists()
        trigger_queue = LocalTriggerQueueResource(state_directory=str(self._pubsub_directory))
        self._resources = {
            "trigger_queue": trigger_queue,
            "platform": LocalPlatformResource(
                trigger_queue=trigger_queue,
                state_directory=str(self._home),
                seed=7,
                rows_per_day=100,
            ),
        }
        self._sensor = build_drift_message_sensor([self.config], [retrain_job(self.config)], 30)

    def warm_up(self) -> None:
        """Drain a drift event, so that imports and first calls are over."""
        self.queue.publish(store_job(self._home, self.config, "warm-up"))
        self.drain(1)
        # Its training has started, and does not hold up the others.
        self._cursor = self.tick(self._cursor)[0].cursor
        for run in self.instance.get_runs():
            self.instance.delete_run(run.run_id)

    def publish(self, messages: int, events: int, run: str) -> None:
        """Store monitoring jobs that drifted, and publish messages, turn by turn of each job."""
        bodies = [store_job(self._home, self.config, f"{run}-{number}") for number in range(events)]
        left = messages
        while left:
            part = min(left, _MESSAGES_A_CALL)
            self.queue.publish_many([bodies[(left - n) % events] for n in range(part)])
            left -= part

    def tick(self, cursor: str | None) -> tuple[dg.SensorResult, float]:
        """Evaluate the real sensor once; returns its result and the seconds it took."""
        started = time.perf_counter()
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            resources=self._resources,
        ) as context:
            result: Any = self._sensor(context)
        return result, time.perf_counter() - started

    def drain(self, messages: int) -> Drained:
        """Tick until every message is acknowledged, and store the runs that each tick requests."""
        before = resident_memory_bytes()
        evaluation = running = longest = 0.0
        ticks = requests = 0
        while self.backlog():
            result, seconds = self.tick(self._cursor)
            evaluation += seconds
            longest = max(longest, seconds)
            ticks += 1
            started = time.perf_counter()
            requests += self._store_runs(result.run_requests or [])
            running += time.perf_counter() - started
            self._cursor = result.cursor
        return Drained(
            messages=messages,
            ticks=ticks,
            evaluation_seconds=evaluation,
            run_seconds=running,
            requests=requests,
            longest_tick_seconds=longest,
            memory_before_bytes=before,
            peak_memory_bytes=peak_memory_bytes(),
        )

    def backlog(self) -> int:
        """Count the messages that nobody has acknowledged."""
        return count_unacknowledged(self._pubsub_directory, self.queue.subscription)

    def drain_bare(self, messages: int) -> float:
        """Pull and acknowledge as many messages with the client alone; returns the seconds."""
        subscriber: SubscriberClient = self.clients.subscriber
        subscription = self.queue.subscription
        started = time.perf_counter()
        left = messages
        while left:
            response = subscriber.pull(
                subscription=subscription, max_messages=_MESSAGES_A_CALL, timeout=_WAIT_SECONDS
            )
            ack_ids = [item.ack_id for item in response.received_messages]
            subscriber.acknowledge(subscription=subscription, ack_ids=ack_ids)
            left -= len(ack_ids)
        return time.perf_counter() - started

    def close(self) -> None:
        """Give everything back."""
        self.queue.close()
        self._server.close()
        self.instance.dispose()

    def _store_runs(self, run_requests: Sequence[dg.RunRequest]) -> int:
        new = 0
        for request in run_requests:
            tags = {**request.tags, RUN_KEY_TAG: str(request.run_key)}
            known = self.instance.get_runs_count(
                dg.RunsFilter(tags={RUN_KEY_TAG: str(request.run_key)})
            )
            if known:
                continue
            run = dg.DagsterRun(
                job_name=RETRAIN_JOB,
                run_id=make_new_run_id(),
                tags=tags,
                status=dg.DagsterRunStatus.STARTING,
            )
            self.instance.run_storage.add_run(run)
            new += 1
        return new
