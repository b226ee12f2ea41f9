"""Sensor: messages and finished monitoring jobs become retrain runs, once for each drift event.

A tick goes one way: what is new is written to the event log, then its messages are acknowledged,
then every open event is decided. The cursor only saves reading the log again; whatever dies in
between, the next tick goes on from the log.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.defs.drift_event_log import catch_up, read_records, write_records
from transak_drift.defs.message_way import way_checks
from transak_drift.defs.names import (
    DRIFT_EVENT_TAG,
    FEATURE_PAGE_TAG,
    MODEL_TAG,
    MONITOR_PAGE_TAG,
    MONITORING_JOB_TAG,
    REPORT_TAG,
    ModelNames,
)
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.training_runs import find_training_runs, training_history
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.drift.drift_event import DriftEvent, last_day
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
    TriggerCursor,
    TriggerRecord,
    records_of_former_cursor,
)
from transak_drift.trigger.intake import Intake, look_again, take_in

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
        configs: the models that share the subscription, at least one; the monitor of the job that
            a message names decides which of them it is about.
        jobs: the retrain job of each of them; a message never chooses another.
        interval_seconds: least seconds between two ticks.
        bounds: what a tick takes at most.
        on_google_cloud: whether the monitors have pages in the Google Cloud console.

    Returns:
        The sensor, running by default.
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
        with trigger_queue.open(configs[0]) as queue:
            requests = tick.run(queue)
        sentence = tick.sentence()
        context.log.info(f"{sentence} ({time.monotonic() - started:.2f} s)")
        for problem in tick.problems:
            context.log.warning(problem)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else sentence,
            cursor=tick.cursor.model_dump_json(exclude_defaults=True),
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
    _sentences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cursor = TriggerCursor.read(self.context.cursor)
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + self.bounds.seconds
        self._keys = {
            config.model_monitor_id: ModelNames.of(config).drift_event for config in self.configs
        }
        known = self.cursor.inboxes
        # The inbox of a model that is configured no longer is read again when it is back.
        self._inboxes = {
            monitor: known.get(key.to_user_string(), Inbox()) for monitor, key in self._keys.items()
        }
        self.cursor.inboxes = {
            key.to_user_string(): self._inboxes[monitor] for monitor, key in self._keys.items()
        }

    def run(self, queue: TriggerQueue) -> list[dg.RunRequest]:
        self._keep_former_cursor()
        if not self._catch_up():
            self._sentences.append("reading the event log; the rest follows at the next tick")
            return []
        assessor = Assessor(
            [(config, self.platform.open(config)) for config in self.configs],
            self._now,
            may_ask=lambda: time.monotonic() < self._deadline,
        )
        self._take_in_messages(queue, assessor)
        self._look_at_waiting_jobs(queue, assessor)
        requests = [request for config in self.configs for request in self._decide(config)]
        for config in self.configs:
            monitor = config.model_monitor_id
            self.checks += way_checks(
                self.cursor, self._inboxes[monitor], config, self.platform, self._now
            )
        return requests

    def sentence(self) -> str:
        """Say in one sentence what the tick did."""
        return "; ".join([*self._sentences, *list(self.problems)[:1]])

    def _keep_former_cursor(self) -> None:
        for record in records_of_former_cursor(self.context.cursor, self._now):
            monitor = record.key.partition("/")[0]
            key = self._keys.get(monitor, next(iter(self._keys.values())))
            write_records(self.context.instance, key, [record])

    def _catch_up(self) -> bool:
        return all(
            catch_up(self.context.instance, key, self._inboxes[monitor], self._deadline)
            for monitor, key in self._keys.items()
        )

    def _take_in_messages(self, queue: TriggerQueue, assessor: Assessor) -> None:
        messages = queue.pull(self.bounds.messages, self.bounds.bytes, self.bounds.wait_seconds)
        # A flood is mostly copies of the same bytes; each body is assessed once.
        by_body = {body: assessor.assess(body) for body in {m.data for m in messages}}
        intake = take_in(
            [(message, by_body[message.data]) for message in messages],
            self._inboxes,
            self.configs,
            self._now,
        )
        self._settle(queue, intake)
        count = len({message.message_id for message in messages})
        what = f"{count} message" + ("" if count == 1 else "s")
        self._sentences.append(f"{what}: {intake.counts()}" if count else f"{what}")

    def _look_at_waiting_jobs(self, queue: TriggerQueue, assessor: Assessor) -> None:
        for config in self.configs:
            monitor = config.model_monitor_id
            waiting = list(self._inboxes[monitor].waiting().items())
            if not waiting:
                continue
            # Not always the same first, where there is no time for all.
            random.shuffle(waiting)
            kept = {
                record.key: record.message
                for _, records in read_records(
                    self.context.instance,
                    self._keys[monitor],
                    storage_ids=[item.record for _, item in waiting],
                    limit=len(waiting),
                )
                for record in records
                if record.message is not None
            }
            for key, item in waiting:
                message = kept.get(key)
                if message is not None:
                    assessment = assessor.assess(message.body.encode())
                    self._settle(
                        queue, look_again(key, item.since, message, assessment, config, self._now)
                    )
            left = len(self._inboxes[monitor].waiting())
            if left:
                self._sentences.append(f"{left} waiting for their monitoring job")

    def _settle(self, queue: TriggerQueue, intake: Intake) -> None:
        """Forward, record, acknowledge: a message ends only after its outcome is durable."""
        self.problems |= intake.problems
        letters = [(item.message, str(item.reason), item.detail) for item in intake.dead_letters]
        if letters:
            queue.publish_dead_letters(letters)
        for monitor, records in intake.records.items():
            write_records(self.context.instance, self._keys[monitor], records)
        acknowledged = [message.ack_id for message, *_ in letters if message.ack_id]
        queue.acknowledge([*acknowledged, *intake.acknowledge])
        if intake.records:
            self._catch_up()

    def _decide(self, config: MonitoringConfig) -> list[dg.RunRequest]:
        instance, names = self.context.instance, ModelNames.of(config)
        inbox, key = self._inboxes[config.model_monitor_id], names.drift_event
        undecided = inbox.undecided()
        if not undecided:
            return []
        decisions = decide(
            inbox,
            config.retrain_policy,
            training_history(instance, names),
            find_training_runs(instance, undecided),
            self._now,
        )
        events = self._events(key, [undecided[step.key].record for step in decisions.steps])
        write_records(
            instance,
            key,
            [
                TriggerRecord(
                    kind=step.kind,
                    key=step.key,
                    detail=step.detail or events[step.key].summary(),
                    at=self._now,
                    event=events.get(step.key),
                )
                for step in decisions.steps
            ],
        )
        if decisions.steps:
            self._catch_up()
        kinds = Counter(step.kind for step in decisions.steps if step.kind != OutcomeKind.HELD)
        self._sentences += [f"{count} {kind}" for kind, count in kinds.items()]
        if decisions.held:
            self._sentences.append(f"{decisions.held} held")
        return [
            run_request(
                event_key,
                undecided[event_key],
                config,
                on_google_cloud=self.on_google_cloud,
            )
            for event_key in decisions.request
        ]

    def _events(self, key: dg.AssetKey, storage_ids: Sequence[int]) -> Mapping[str, DriftEvent]:
        if not storage_ids:
            return {}
        wanted = sorted(set(storage_ids))
        return {
            record.key: record.event
            for _, records in read_records(
                self.context.instance, key, storage_ids=wanted, limit=len(wanted)
            )
            for record in records
            if record.event is not None
        }


def sensor_name(configs: Sequence[MonitoringConfig]) -> str:
    """Name the sensor of a subscription, so that a further model on it changes nothing.

    Args:
        configs: the models that share the subscription.

    Returns:
        The plain name where a model without `asset_prefix` is among them, otherwise one made from
        the subscription.
    """
    if any(config.asset_prefix is None for config in configs):
        return SENSOR_NAME
    subscription = re.sub(r"[^A-Za-z0-9]+", "_", configs[0].trigger_subscription)
    return f"{SENSOR_NAME}_{subscription}"


def run_request(
    key: str, event: OpenEvent, config: MonitoringConfig, *, on_google_cloud: bool = False
) -> dg.RunRequest:
    """Ask for the training of a drift event.

    Args:
        key: the drift event.
        event: what is known of it.
        config: the monitored model.
        on_google_cloud: whether to link to the Google Cloud console.

    Returns:
        The request, with the event's key as run key: asked twice, it runs once. Its tags link to
        the day's report and, on Google Cloud, to the monitor and to the feature that drifted most.
    """
    names = ModelNames.of(config)
    monitor_id, _, job_id = key.partition("/")
    job_name = monitoring_job_name(config.project_id, config.location, monitor_id, job_id)
    window_end = event.window_end
    assert window_end is not None
    tags = {
        DRIFT_EVENT_TAG: key,
        MONITORING_JOB_TAG: job_name,
        MODEL_TAG: config.model_name,
        REPORT_TAG: asset_partition_page(names.drift_report.path, str(last_day(window_end))),
        # Marks a run as failed whose worker vanished: it would hold up every later training.
        "dagster/max_runtime": str(60 * config.maximum_training_minutes),
    }
    if on_google_cloud:
        tags[MONITOR_PAGE_TAG] = model_monitor_page(config.project_id, config.location, monitor_id)
        tags[FEATURE_PAGE_TAG] = feature_drift_page(job_name, event.most_drifted, config.project_id)
    return dg.RunRequest(
        run_key=key,
        job_name=names.retrain_job,
        run_config={
            "ops": {
                names.train_operation: {
                    "config": {"drift_event": key, "window_end": window_end.isoformat()}
                }
            }
        },
        tags=tags,
    )
