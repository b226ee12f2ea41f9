"""Sensor: messages and finished monitoring jobs become retrain runs, once for each drift event.

A tick goes one way: what is new is written to the event log, then its messages are acknowledged,
then every open event is decided. The cursor only saves reading the log again; whatever dies in
between, the next tick goes on from the log.
"""

from __future__ import annotations

import gc
import re
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import catch_up, write_records
from transak_drift.defs.labels import LabelGate, LabelMemory
from transak_drift.defs.message_way import way_checks
from transak_drift.defs.metadata import newest_materialization, recorded_time
from transak_drift.defs.platform_resource import PlatformResource, TriggerQueueResource
from transak_drift.defs.recorded_reports import quiet_windows, standing_baselines
from transak_drift.defs.rollbacks import IN_FLIGHT, newest_rollback
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import PlatformError
from transak_drift.reports import links
from transak_drift.trigger.assessment import Assessor
from transak_drift.trigger.decision import TrainingHistory, decide, escalation
from transak_drift.trigger.inbox import (
    HELD_BACK,
    Inbox,
    TriggerRecord,
    read_cursor,
    records_of_former_cursor,
    write_cursor,
)
from transak_drift.trigger.intake import counts, records_to_write, take_in

SENSOR_NAME = "drift_message_sensor"


@dataclass(frozen=True, slots=True)
class TickBounds:
    """What one tick takes at most, so that a burst drains over ticks."""

    messages: int = 10_000
    bytes: int = 32_000_000  # After so many no further call is made.
    wait_seconds: float = 2.0  # For a first message.
    seconds: float = 20.0  # After them no further monitoring job is read.


def build_drift_message_sensor(
    configs: Sequence[MonitoringConfig],
    jobs: Sequence[dg.JobDefinition],
    interval_seconds: int,
    bounds: TickBounds | None = None,
) -> dg.SensorDefinition:
    """Build the sensor of the models, at least one, that share a trigger subscription.

    The jobs are their retrain jobs; a message never chooses another.
    """

    memory = LabelMemory()

    @dg.sensor(
        name=_sensor_name(configs),
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
        tick = _Tick(context, configs, platform, bounds or TickBounds(), memory)
        # The messages of a burst all live until the tick ends: a collection meanwhile would only
        # look through everything that Dagster has loaded, again and again.
        gc.disable()
        try:
            requests = tick.run(trigger_queue)
        finally:
            gc.enable()
        sentence = "; ".join([*tick.sentences, *list(tick.problems)[:1]])
        if requests:
            # Only then: the log of a tick is a file, and a skipped tick shows its sentence itself.
            context.log.info(f"{sentence} ({time.monotonic() - started:.2f} s)")
        for problem in tick.problems:
            context.log.warning(problem)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else sentence,
            cursor=write_cursor(tick.inboxes),
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
    memory: LabelMemory
    problems: dict[str, None] = field(default_factory=dict)
    checks: list[dg.AssetCheckEvaluation] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._instance = self.context.instance
        self._now = datetime.now(UTC)
        self._deadline = time.monotonic() + self.bounds.seconds
        self._keys = {
            c.model_monitor_id: keys.ModelNames.of(c).asset(keys.DRIFT_EVENT) for c in self.configs
        }
        known = read_cursor(self.context.cursor)
        # The inbox of a model that is configured no longer is read again when it is back.
        self.inboxes = {monitor: known.get(monitor, Inbox()) for monitor in self._keys}

    def run(self, trigger_queue: TriggerQueueResource) -> list[dg.RunRequest]:
        """Take in what is new, decide what is open; returns the trainings to request."""
        for record in records_of_former_cursor(self.context.cursor, self._now):
            monitor = record.key.partition("/")[0]
            known = monitor if monitor in self._keys else self.configs[0].model_monitor_id
            self._write(known, [record])
        if not all(
            catch_up(self._instance, key, self.inboxes[monitor], self._deadline)
            for monitor, key in self._keys.items()
        ):
            self.sentences.append("reading the event log; the rest follows at the next tick")
            return []
        assessor = Assessor(
            [(config, self.platform.open(config)) for config in self.configs],
            self._now,
            may_ask=self._has_time,
        )
        with ExitStack() as stack:
            # Without Pub/Sub the rest goes on: drift that polling found needs no message.
            with self._report_problems():
                self._take_in(trigger_queue, stack, assessor)
            waiting = sum(len(inbox.waiting()) for inbox in self.inboxes.values())
            if waiting:
                self.sentences.append(f"{waiting} waiting for their monitoring job")
            requests = [request for config in self.configs for request in self._decide(config)]
            self.memory.keep_only({key for it in self.inboxes.values() for key in it.open})
            with self._report_problems():
                # Waits for the acknowledgements that went on meanwhile.
                stack.close()
        return requests

    @contextmanager
    def _report_problems(self) -> Generator[None]:
        try:
            yield
        except PlatformError as error:
            self.problems[str(error)] = None

    def _take_in(
        self, trigger_queue: TriggerQueueResource, stack: ExitStack, assessor: Assessor
    ) -> None:
        """Forward, record, acknowledge: a message ends only after its outcome is durable."""
        queue = stack.enter_context(trigger_queue.open(self.configs[0]))
        pulled = queue.pull(self.bounds.messages, self.bounds.bytes, self.bounds.wait_seconds)
        outcomes, problems = take_in(pulled, assessor.assess, self.inboxes, self.configs, self._now)
        self.problems |= dict.fromkeys(problems)
        count, taken = sum(outcome.record.messages for outcome in outcomes), counts(outcomes)
        sentence = "1 message" if count == 1 else f"{count} messages"
        self.sentences.append(f"{sentence}: {taken}" if taken else sentence)
        try:
            queue.publish_dead_letters([o.dead_letter for o in outcomes if o.dead_letter])
        except PlatformError as error:
            # They come again, and hold up no other message.
            self.problems[str(error)] = None
            outcomes = [outcome for outcome in outcomes if not outcome.dead_letter]
        for monitor, records in records_to_write(outcomes):
            self._write(monitor, records)
        queue.start_acknowledging([ack_id for outcome in outcomes for ack_id in outcome.ack_ids])

    def _decide(self, config: MonitoringConfig) -> list[dg.RunRequest]:
        inbox = self.inboxes[config.model_monitor_id]
        requests: list[dg.RunRequest] = []
        if undecided := [event for _, event in inbox.undecided()]:
            policy, names = config.retrain_policy, keys.ModelNames.of(config)
            history = training_history(self._instance, names, [event.key for event in undecided])
            trained = [*inbox.trained, *undecided]
            if any(escalation(event, policy, history, trained) for event in undecided):
                quiet = quiet_windows(self._instance, names)
                baselines = standing_baselines(self._instance, names)
                history = replace(history, quiet=quiet, baselines=baselines)
            request = partial(run_request, config=config, platform=self.platform)
            gates = list(self._label_gates(config))
            steps, requests = decide(inbox, policy, history, self._now, request, gates)
            for gate in gates:
                steps = [gate.with_labels(step) for step in steps]
            self._write(config.model_monitor_id, steps)
            kinds = Counter(step.kind for step in steps)
            kinds |= Counter(x.kind for x, _ in inbox.undecided() if x.kind in HELD_BACK)
            self.sentences += [f"{count} {kind}" for kind, count in kinds.items() if count]
        self.checks += way_checks(inbox, config, self.platform, self._now)
        return requests

    def _label_gates(self, config: MonitoringConfig) -> Iterator[LabelGate]:
        if config.labels is not None:
            platform = self.platform.open(config)
            yield LabelGate(config, platform, self.memory, self._has_time)

    def _has_time(self) -> bool:
        return time.monotonic() < self._deadline

    def _write(self, monitor: str, records: Sequence[TriggerRecord]) -> None:
        write_records(self._instance, self._keys[monitor], records)
        self.inboxes[monitor].add(records)


def _sensor_name(configs: Sequence[MonitoringConfig]) -> str:
    # A further model on the subscription changes nothing.
    if any(config.asset_prefix is None for config in configs):
        return SENSOR_NAME
    subscription = re.sub(r"[^A-Za-z0-9]+", "_", configs[0].trigger_subscription)
    return f"{SENSOR_NAME}_{subscription}"


def run_request(
    event: DriftEvent, config: MonitoringConfig, platform: PlatformResource
) -> dg.RunRequest:
    """Ask for the training of a drift event, with its key as run key: asked twice, it runs once."""
    names = keys.ModelNames.of(config)
    ids = (event.model_monitor_id, event.monitoring_job_id)
    job_name = monitoring_job_name(config.project_id, config.location, *ids)
    report, window = names.asset(keys.DRIFT_REPORT).path, config.windows.ending_at(event.window_end)
    tags = {
        keys.DRIFT_EVENT_TAG: event.key,
        keys.MONITORING_JOB_TAG: job_name,
        keys.MODEL_TAG: config.model_name,
        keys.REPORT_TAG: links.asset_partition_page(report, window.key),
        # Marks a run as failed whose worker vanished: it would hold up every later training.
        "dagster/max_runtime": str(60 * config.maximum_training_minutes),
    }
    distances = {f.feature: f.distance for f in event.features if f.objective == "feature"}
    drifted_most = max(distances, key=distances.__getitem__, default=None)
    for tag, of in {keys.MONITOR_PAGE_TAG: None, keys.FEATURE_PAGE_TAG: drifted_most}.items():
        if (page := platform.console_page(config, job_name, of)) is not None:
            tags[tag] = page
    training = {"drift_event": event.key, "window_end": event.window_end.isoformat()}
    return dg.RunRequest(
        run_key=event.key,
        job_name=names.name(keys.RETRAIN_JOB),
        run_config={"ops": {names.name(keys.TRAIN_OPERATION): {"config": training}}},
        tags=tags,
    )


def training_history(
    instance: dg.DagsterInstance, names: keys.ModelNames, event_keys: Sequence[str]
) -> TrainingHistory:
    """Sum up the trainings of a model so far, and find the runs of drift events."""
    job = names.name(keys.RETRAIN_JOB)
    newest = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    runs: dict[str, bool] = defaultdict(bool)
    for run in instance.get_runs(dg.RunsFilter(tags={keys.DRIFT_EVENT_TAG: event_keys})):
        runs[run.tags[keys.DRIFT_EVENT_TAG]] |= run.status != dg.DagsterRunStatus.NOT_STARTED

    baseline = newest_materialization(instance, names.asset(keys.BASELINE_DATASET))
    trained = instance.get_latest_materialization_event(names.asset(keys.TRAINED_MODEL))
    evaluated = trained.asset_materialization if trained else None
    rollback = newest_rollback(instance, names)
    if rollback is not None and trained is not None and trained.timestamp > rollback.at.timestamp():
        rollback = None
    if rollback is not None:
        # What it has undone answers nothing.
        evaluated = None
    return TrainingHistory(
        in_flight=instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=IN_FLIGHT)),
        last_start=newest[0].create_timestamp.astimezone(UTC) if newest else None,
        baseline_until=recorded_time(baseline, keys.TRAINED_UNTIL_METADATA),
        evaluated_until=recorded_time(evaluated, keys.TRAINED_UNTIL_METADATA),
        evaluated_at=datetime.fromtimestamp(trained.timestamp, UTC) if trained else None,
        rollback=rollback,
        runs=runs,
    )
