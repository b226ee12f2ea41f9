"""Sensor: drift messages from the trigger subscription become retrain runs, once per event."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.defs.jobs import AssetJob
from transak_drift.defs.names import (
    DRIFT_EVENT_TAG,
    FEATURE_PAGE_TAG,
    MODEL_TAG,
    MONITOR_PAGE_TAG,
    MONITORING_JOB_TAG,
    REPORT_TAG,
    ModelNames,
)
from transak_drift.defs.outcome_events import outcome_events
from transak_drift.defs.training_runs import find_training_runs, training_history
from transak_drift.defs.trigger_queue_resource import TriggerQueueResource
from transak_drift.drift.drift_event import DriftEvent, last_day
from transak_drift.reports.links import (
    asset_partition_page,
    feature_drift_page,
    model_monitor_page,
)
from transak_drift.trigger.message_assessment import Drift, assess_message
from transak_drift.trigger.messages import ACK_DEADLINE_SECONDS, ReceivedMessage
from transak_drift.trigger.retrain_policy import NO_HISTORY
from transak_drift.trigger.trigger_plan import (
    ModelTrainings,
    TickPlan,
    events_to_look_up,
    plan_tick,
)
from transak_drift.trigger.trigger_state import TriggerState

SENSOR_NAME = "drift_message_sensor"


@dataclass(frozen=True, slots=True)
class TickBounds:
    """What one tick takes at most, so that a burst drains over ticks.

    Args:
        messages: messages pulled.
        bytes: bytes pulled, after which no further call is made.
        waiting_messages: leased messages above which nothing more is pulled.
        wait_seconds: how long a tick waits for a first message.
    """

    messages: int = 10_000
    bytes: int = 32_000_000
    waiting_messages: int = 10_000
    wait_seconds: float = 2.0


def build_drift_message_sensor(
    configs: Sequence[MonitoringConfig],
    jobs: Sequence[AssetJob],
    interval_seconds: int,
    bounds: TickBounds | None = None,
    *,
    on_google_cloud: bool = False,
) -> dg.SensorDefinition:
    """Build the sensor of one trigger subscription.

    Args:
        configs: the models that share the subscription, at least one; the monitor that a message
            names decides which of them it is about.
        jobs: the retrain job of each of them; a message never chooses another.
        interval_seconds: least seconds between two ticks.
        bounds: what a tick takes at most.
        on_google_cloud: whether the monitors have pages in the Google Cloud console.

    Returns:
        The sensor, running by default.
    """
    limits = bounds or TickBounds()
    by_monitor = {config.model_monitor_id: config for config in configs}
    # The lease outlives the next tick; past it Pub/Sub delivers again, which is harmless.
    lease_seconds = min(600, max(ACK_DEADLINE_SECONDS, 2 * interval_seconds))

    @dg.sensor(
        name=sensor_name(configs),
        jobs=list(jobs),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Pulls {configs[0].trigger_subscription}, verifies that a message is true drift of "
            f"{' or '.join(config.model_name for config in configs)}, and launches one training "
            "for each drift event."
        ),
    )
    def drift_message_sensor(
        context: dg.SensorEvaluationContext, trigger_queue: TriggerQueueResource
    ) -> dg.SensorResult:
        started = time.monotonic()
        state = TriggerState.from_cursor(context.cursor)
        with trigger_queue.open(configs[0]) as queue:
            room = min(limits.messages, limits.waiting_messages - state.waiting_messages)
            messages = queue.pull(room, limits.bytes, limits.wait_seconds) if room > 0 else []
            plan = _plan(context.instance, state, messages, configs)
            queue.forward_to_dead_letters(
                [
                    (letter.message, str(letter.rejection.reason), letter.rejection.detail)
                    for letter in plan.dead_letters
                ]
            )
            queue.acknowledge(plan.acknowledge)
            queue.extend(_to_extend(plan, messages, lease_seconds), lease_seconds)
        sentence = plan.sentence(len(messages))
        context.log.info(f"{sentence} ({time.monotonic() - started:.2f} s)")
        return dg.SensorResult(
            run_requests=[
                run_request(
                    event, by_monitor[event.model_monitor_id], on_google_cloud=on_google_cloud
                )
                for event in plan.request
            ],
            skip_reason=None if plan.request else sentence,
            cursor=plan.state.to_cursor(),
            asset_events=outcome_events(plan, configs),
        )

    return drift_message_sensor


def _to_extend(plan: TickPlan, pulled: Sequence[ReceivedMessage], lease_seconds: int) -> list[str]:
    """Leave out the deliveries of this tick where the ack deadline they came with will do."""
    if lease_seconds > ACK_DEADLINE_SECONDS:
        return plan.extend
    fresh = {message.ack_id for message in pulled}
    return [ack_id for ack_id in plan.extend if ack_id not in fresh]


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
    event: DriftEvent, config: MonitoringConfig, *, on_google_cloud: bool = False
) -> dg.RunRequest:
    """Ask for the training of a drift event.

    Args:
        event: the verified event.
        config: the monitored model.
        on_google_cloud: whether to link to the Google Cloud console.

    Returns:
        The request, with the event's key as run key: asked twice, it runs once. Its tags link to
        the day's report and, on Google Cloud, to the monitor and to the feature that drifted most.
    """
    names = ModelNames.of(config)
    job_name = monitoring_job_name(
        event.project, event.location, event.model_monitor_id, event.monitoring_job_id
    )
    return dg.RunRequest(
        run_key=event.key,
        job_name=names.retrain_job,
        run_config={
            "ops": {
                names.train_operation: {
                    "config": {
                        "drift_event": event.key,
                        "window_end": event.window_end.isoformat(),
                    }
                }
            }
        },
        tags={
            DRIFT_EVENT_TAG: event.key,
            MONITORING_JOB_TAG: job_name,
            MODEL_TAG: config.model_name,
            REPORT_TAG: asset_partition_page(
                names.drift_report.path, str(last_day(event.window_end))
            ),
            **(_console_tags(event, config, job_name) if on_google_cloud else {}),
            # Marks a run as failed whose worker vanished: it would hold up every later training.
            "dagster/max_runtime": str(60 * config.maximum_training_minutes),
        },
    )


def _console_tags(event: DriftEvent, config: MonitoringConfig, job_name: str) -> dict[str, str]:
    most = max(event.anomalies, key=lambda anomaly: anomaly.deviation)
    return {
        MONITOR_PAGE_TAG: model_monitor_page(
            config.project_id, event.location, event.model_monitor_id
        ),
        FEATURE_PAGE_TAG: feature_drift_page(job_name, most.feature, config.project_id),
    }


def _plan(
    instance: dg.DagsterInstance,
    state: TriggerState,
    messages: Sequence[ReceivedMessage],
    configs: Sequence[MonitoringConfig],
) -> TickPlan:
    # A flood is mostly copies of the same bytes; each body is assessed once.
    by_body = {body: assess_message(body, *configs) for body in {m.data for m in messages}}
    assessed = [(message, by_body[message.data]) for message in messages]
    # Only an event that is decided now is held against the history.
    decides = bool(state.held) or any(isinstance(item, Drift) for _, item in assessed)
    return plan_tick(
        state,
        assessed,
        find_training_runs(instance, events_to_look_up(state, assessed)),
        {
            config.model_monitor_id: ModelTrainings(
                config.retrain_policy,
                training_history(instance, ModelNames.of(config)) if decides else NO_HISTORY,
            )
            for config in configs
        },
        datetime.now(UTC),
    )
