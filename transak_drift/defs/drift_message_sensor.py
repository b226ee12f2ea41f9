"""Sensor: messages and finished monitoring jobs become retrain runs, once for each drift event.

A tick goes one way: what is new is written to the event log, then its messages are acknowledged,
then every open event is decided. The cursor only saves reading the log again; whatever dies in
between, the next tick goes on from the log.
"""

from __future__ import annotations

import gc
import random
import re
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.defs.drift_event_log import catch_up, read_records, write_records
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    DRIFT_EVENT_TAG,
    DRIFT_REPORT,
    FEATURE_PAGE_TAG,
    MODEL_TAG,
    MONITOR_PAGE_TAG,
    MONITORING_JOB_TAG,
    REPORT_TAG,
    RETRAIN_JOB,
    TRAIN_OPERATION,
    ModelNames,
)
from transak_drift.defs.message_way import way_checks
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.training_runs import find_training_runs, training_history
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.drift.drift_event import DriftEvent, last_day
from transak_drift.platform import PlatformError
from transak_drift.reports.links import (
    asset_partition_page,
    feature_drift_page,
    model_monitor_page,
)
from transak_drift.trigger.assessment import Assessor
from transak_drift.trigger.decision import decide
from transak_drift.trigger.inbox import (
    Inbox,
    OpenEvent,
    OutcomeKind,
    TriggerRecord,
    read_cursor,
    records_of_former_cursor,
    write_cursor,
)
from transak_drift.trigger.intake import take_in, waiting_message
from transak_drift.trigger.message import ReceivedMessage

if TYPE_CHECKING:
    # Its client takes a moment to import, which loading the definitions does not wait for.
    from transak_drift.pubsub.trigger_queue import TriggerQueue

SENSOR_NAME = "drift_message_sensor"


@dataclass(frozen=True, slots=True)
class TickBounds:
    """What one tick takes at most, so that a burst drains over ticks.

    Args:
        messages: messages pulled.
        bytes: bytes pulled, after which no further call is made.
        wait_seconds: how long a tick waits for a first message.
        seconds: time after which no further monitoring job is read.
    """

    messages: int = 10_000
    bytes: int = 32_000_000
    wait_seconds: float = 2.0
    seconds: float = 20.0


def build_drift_message_sensor(
    configs: Sequence[MonitoringConfig],
    jobs: Sequence[dg.JobDefinition],
    interval_seconds: int,
    bounds: TickBounds | None = None,
    *,
    on_google_cloud: bool = False,
) -> dg.SensorDefinition:
    """Build the sensor of one trigger subscription.

    Args:
        configs: the models that share the subscription, at least one.
        jobs: the retrain job of each of them; a message never chooses another.
        interval_seconds: least seconds between two ticks.
        bounds: what a tick takes at most.
        on_google_cloud: whether the monitors have pages in the Google Cloud console.
    """

    @dg.sensor(
        name=sensor_name(configs),
        jobs=list(jobs),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Pulls {configs[0].trigger_subscription}, reads from the platform what drifted, and "
            f"launches one training of {' or '.join(config.model_name for config in configs)} for "
            "each drift event, also of those that no message named."
        ),
    )
    def drift_message_sensor(
        context: dg.SensorEvaluationContext,
        trigger_queue: TriggerQueueResource,
        platform: PlatformResource,
    ) -> dg.SensorResult:
        started = time.monotonic()
        tick = _Tick(context, configs, platform, bounds or TickBounds(), on_google_cloud)
        requests = tick.run(trigger_queue)
        sentence = tick.sentence()
        if requests:
            # Only then: the log of a tick is a file, and a skipped tick shows its sentence itself.
            context.log.info(f"{sentence} ({time.monotonic() - started:.2f} s)")
        for problem in tick.problems:
            context.log.warning(problem)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else sentence,
            cursor=tick.cursor(),
            asset_events=tick.checks,
        )

    return drift_message_sensor


@dataclass
class _Tick:
    """One tick over the models of a subscription."""

    context: dg.SensorEvaluationContext
    configs: Sequence[MonitoringConfig]
    platform: PlatformResource
    bounds: TickBounds
    on_google_cloud: bool
    problems: dict[str, None] = field(default_factory=dict)
    checks: list[dg.AssetCheckEvaluation] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._instance = self.context.instance
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + self.bounds.seconds
        self._events: dict[str, DriftEvent] = {}
        known = read_cursor(self.context.cursor)
        self._keys = {c.model_monitor_id: ModelNames.of(c).asset(DRIFT_EVENT) for c in self.configs}
        # The inbox of a model that is configured no longer is read again when it is back.
        self._inboxes = {
            monitor: known.get(key.to_user_string(), Inbox()) for monitor, key in self._keys.items()
        }

    def run(self, trigger_queue: TriggerQueueResource) -> list[dg.RunRequest]:
        """Take in what is new, decide what is open; returns the trainings to request.

        Without Pub/Sub the rest goes on: drift that polling found needs no message.
        """
        for record in records_of_former_cursor(self.context.cursor, self._now):
            first = self.configs[0].model_monitor_id
            monitor = record.key.partition("/")[0]
            self._write(monitor if monitor in self._keys else first, [record])
        if not self._catch_up():
            self.sentences.append("reading the event log; the rest follows at the next tick")
            return []
        assessor = Assessor(
            [(config, self.platform.open(config)) for config in self.configs],
            self._now,
            may_ask=lambda: time.monotonic() < self._deadline,
        )
        with ExitStack() as stack, self._problems_of_pubsub(), _collection_paused():
            queue = stack.enter_context(trigger_queue.open(self.configs[0]))
            messages = queue.pull(self.bounds.messages, self.bounds.bytes, self.bounds.wait_seconds)
            taken = self._take_in(queue, assessor, messages)
            count = len({message.message_id for message in messages})
            self.sentences.append(
                f"{count} message{'' if count == 1 else 's'}" + (f": {taken}" if taken else "")
            )
            waiting = self._waiting_messages()
            # Not always the same first, where there is no time for all.
            random.shuffle(waiting)
            self._take_in(queue, assessor, waiting)
        left = sum(len(inbox.waiting()) for inbox in self._inboxes.values())
        if left:
            self.sentences.append(f"{left} waiting for their monitoring job")
        requests = [request for config in self.configs for request in self._decide(config)]
        for config in self.configs:
            inbox = self._inboxes[config.model_monitor_id]
            self.checks += way_checks(inbox, config, self.platform, self._now)
        return requests

    def cursor(self) -> str:
        """The inboxes, so that the next tick reads on where this one ended."""
        return write_cursor(
            {key.to_user_string(): self._inboxes[monitor] for monitor, key in self._keys.items()}
        )

    def sentence(self) -> str:
        """What the tick did."""
        return "; ".join([*self.sentences, *list(self.problems)[:1]])

    def _take_in(
        self, queue: TriggerQueue, assessor: Assessor, messages: Sequence[ReceivedMessage]
    ) -> str:
        """Forward, record, acknowledge: a message ends only after its outcome is durable."""
        # A flood is mostly copies of the same bytes; each body is assessed once.
        by_body = {body: assessor.assess(body) for body in {m.data for m in messages}}
        assessed = [(message, by_body[message.data]) for message in messages]
        intake = take_in(assessed, self._inboxes, self.configs, self._now)
        self.problems |= intake.problems
        try:
            queue.publish_dead_letters(intake.dead_letters)
        except PlatformError as error:
            # They come again, and hold up no other message.
            self.problems[str(error)] = None
            intake = intake.without_dead_letters()
        for monitor, records in (*intake.records.items(), *intake.ended.items()):
            self._write(monitor, records)
        queue.acknowledge(intake.acknowledge)
        if intake.records:
            self._catch_up(only_newer=True)
        return intake.counts()

    @contextmanager
    def _problems_of_pubsub(self) -> Generator[None]:
        try:
            yield
        except PlatformError as error:
            self.problems[str(error)] = None

    def _waiting_messages(self) -> list[ReceivedMessage]:
        return [
            waiting_message(record.key, record.message)
            for monitor, inbox in self._inboxes.items()
            if (waiting := inbox.waiting())
            for record in self._read(monitor, waiting.values())
            if record.message is not None and record.key in waiting
        ]

    def _decide(self, config: MonitoringConfig) -> list[dg.RunRequest]:
        monitor = config.model_monitor_id
        undecided = self._inboxes[monitor].undecided()
        if not undecided:
            return []
        decisions = decide(
            self._inboxes[monitor],
            config.retrain_policy,
            training_history(
                self._instance,
                ModelNames.of(config),
                answers=any(item.kind == OutcomeKind.HELD for item in undecided.values()),
            ),
            find_training_runs(self._instance, undecided),
            self._now,
        )
        # Those that this tick took in need not be read back.
        elsewhere = [step.key for step in decisions.steps if step.key not in self._events]
        for record in self._read(monitor, [undecided[key] for key in elsewhere]):
            if record.event is not None:
                self._events[record.key] = record.event
        events = self._events
        steps = [
            TriggerRecord(
                kind=step.kind,
                key=step.key,
                detail=step.detail or _summary(events.get(step.key), undecided[step.key]),
                at=self._now,
                event=events.get(step.key),
            )
            for step in decisions.steps
        ]
        if steps:
            self._write(monitor, steps)
            self._catch_up(only_newer=True)
        kinds = Counter(step.kind for step in steps if step.kind != OutcomeKind.HELD)
        kinds[OutcomeKind.HELD] = decisions.held
        self.sentences += [f"{count} {kind}" for kind, count in kinds.items() if count]
        return [
            run_request(key, undecided[key], config, on_google_cloud=self.on_google_cloud)
            for key in decisions.request
        ]

    def _read(self, monitor: str, items: Iterable[OpenEvent]) -> list[TriggerRecord]:
        """Read the records that have the events or messages of open events."""
        ids = sorted({item.record for item in items})
        found = read_records(self._instance, self._keys[monitor], storage_ids=ids)
        return [record for _, records in found for record in records]

    def _write(self, monitor: str, records: Sequence[TriggerRecord]) -> None:
        self._events |= {item.key: item.event for item in records if item.event is not None}
        write_records(self._instance, self._keys[monitor], records)

    def _catch_up(self, *, only_newer: bool = False) -> bool:
        instance, deadline = self._instance, self._deadline
        return all(
            catch_up(instance, key, self._inboxes[monitor], deadline, only_newer=only_newer)
            for monitor, key in self._keys.items()
        )


@contextmanager
def _collection_paused() -> Generator[None]:
    # The messages of a burst all live until the tick ends: collecting garbage meanwhile would only
    # look through everything that Dagster has loaded, again and again.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _summary(event: DriftEvent | None, known: OpenEvent) -> str:
    # Somebody may have wiped the asset's events; what is open stays open.
    return known.most_drifted if event is None else event.summary()


def sensor_name(configs: Sequence[MonitoringConfig]) -> str:
    """Name the sensor of a subscription, so that a further model on it changes nothing.

    It is the plain name where a model without `asset_prefix` is among the models, otherwise one
    made from the subscription.
    """
    if any(config.asset_prefix is None for config in configs):
        return SENSOR_NAME
    subscription = re.sub(r"[^A-Za-z0-9]+", "_", configs[0].trigger_subscription)
    return f"{SENSOR_NAME}_{subscription}"


def run_request(
    key: str, event: OpenEvent, config: MonitoringConfig, *, on_google_cloud: bool = False
) -> dg.RunRequest:
    """Ask for the training of a drift event, with its key as run key: asked twice, it runs once.

    Its tags link to the day's report and, on Google Cloud, to the monitor and to the feature that
    drifted most.
    """
    names = ModelNames.of(config)
    monitor_id, _, job_id = key.partition("/")
    project, location = config.project_id, config.location
    job_name = monitoring_job_name(project, location, monitor_id, job_id)
    window_end = event.window_end
    assert window_end is not None
    report = asset_partition_page(names.asset(DRIFT_REPORT).path, str(last_day(window_end)))
    tags = {
        DRIFT_EVENT_TAG: key,
        MONITORING_JOB_TAG: job_name,
        MODEL_TAG: config.model_name,
        REPORT_TAG: report,
        # Marks a run as failed whose worker vanished: it would hold up every later training.
        "dagster/max_runtime": str(60 * config.maximum_training_minutes),
    }
    if on_google_cloud:
        tags[MONITOR_PAGE_TAG] = model_monitor_page(project, location, monitor_id)
        tags[FEATURE_PAGE_TAG] = feature_drift_page(job_name, event.most_drifted, project)
    training = {"drift_event": key, "window_end": window_end.isoformat()}
    return dg.RunRequest(
        run_key=key,
        job_name=names.name(RETRAIN_JOB),
        run_config={"ops": {names.name(TRAIN_OPERATION): {"config": training}}},
        tags=tags,
    )
