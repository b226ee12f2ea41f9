"""`transak-drift publish-drift`: publish a drift message, as the log sink would."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from transak_drift.assemble import trigger_queue_resource
from transak_drift.cli.output import JsonOption, ModelOption, console, print_json
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DRIFT_OBJECTIVE, DriftEvent, FeatureAnomaly
from transak_drift.settings import load_settings
from transak_drift.trigger.log_entry import anomaly_log_entry

_ABOVE_THRESHOLD = 0.2


def publish_drift(
    feature: Annotated[
        list[str] | None,
        typer.Option(
            "--feature",
            help="Feature and distance, e.g. description=0.61; repeat for several. By default "
            "every monitored feature, 0.2 above its threshold.",
        ),
    ] = None,
    job_id: Annotated[
        str | None,
        typer.Option(
            "--job-id",
            help="Id of the monitoring job: the same id is the same drift event. By default new.",
        ),
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option("--day", formats=["%Y-%m-%d"], help="Day that drifted; by default yesterday."),
    ] = None,
    copies: Annotated[int, typer.Option("--copies", min=1, max=100_000)] = 1,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a drift message to the trigger topic."""
    settings = load_settings()
    config = settings.load_config(model)
    event = drift_event_of_day(
        config,
        _anomalies(config, feature or []),
        job_id or f"manual-{uuid.uuid4().hex[:16]}",
        day.replace(tzinfo=UTC) if day else None,
    )
    entry = anomaly_log_entry(event, project_id=config.project_id, receive_time=datetime.now(UTC))
    with trigger_queue_resource(settings).open(config) as queue:
        message_ids = queue.publish_many([json.dumps(entry).encode()] * copies)
    if as_json:
        print_json(
            {"drift_event": event.key, "message_ids": message_ids, "topic": config.trigger_topic}
        )
        return
    console.print(
        f"drift event {event.key}: {len(message_ids)} message(s) published to "
        f"{config.trigger_topic}, first id {message_ids[0]}",
        markup=False,
    )


def drift_event_of_day(
    config: MonitoringConfig,
    anomalies: tuple[FeatureAnomaly, ...],
    job_id: str,
    day: datetime | None,
) -> DriftEvent:
    """Make the drift event of a day.

    Args:
        config: the monitored model.
        anomalies: the features that drifted.
        job_id: id of the monitoring job.
        day: midnight (UTC) of the day that drifted, or None for yesterday.

    Returns:
        The event.
    """
    start = day or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
        days=1
    )
    return DriftEvent(
        project=config.project_number or config.project_id,
        location=config.location,
        model_monitor_id=config.model_monitor_id,
        monitoring_job_id=job_id,
        objective=DRIFT_OBJECTIVE,
        anomalies=anomalies,
        window_start=start,
        window_end=start + timedelta(days=1),
        log_entry_id=uuid.uuid4().hex,
    )


def _anomalies(config: MonitoringConfig, given: list[str]) -> tuple[FeatureAnomaly, ...]:
    if not given:
        return tuple(
            FeatureAnomaly(name, min(1.0, threshold + _ABOVE_THRESHOLD), threshold)
            for name, threshold in config.drift_thresholds.items()
        )
    anomalies = []
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            distance = float(number)
        except ValueError:
            distance = -1.0
        if not name or not 0.0 <= distance <= 1.0:
            raise typer.BadParameter(
                f"{text!r} is not <feature>=<distance from 0 to 1>, e.g. description=0.61",
                param_hint="--feature",
            )
        anomalies.append(FeatureAnomaly(name, distance, config.drift_thresholds.get(name)))
    return tuple(anomalies)
