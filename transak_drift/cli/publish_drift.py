"""`transak-drift publish-drift`: publish the message of a monitoring job that found drift."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from transak_drift.cli.output import JsonOption, ModelOption, console, print_json
from transak_drift.definitions import platform_resource, trigger_queue_resource
from transak_drift.settings import load_settings
from transak_drift.trigger.assessment import Assessor
from transak_drift.trigger.log_entry import MessageShape, drift_message

_LOOK_BACK = timedelta(days=400)


def publish_drift(
    job: Annotated[
        str | None,
        typer.Option(
            "--job", help="<monitor id>/<job id> of a monitoring job; by default the newest."
        ),
    ] = None,
    shape: Annotated[
        MessageShape, typer.Option("--shape", help="The form of the message.")
    ] = MessageShape.LOG_ENTRY,
    copies: Annotated[int, typer.Option("--copies", min=1, max=100_000)] = 1,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the message of a monitoring job to the trigger topic."""
    settings = load_settings()
    config = settings.load_config(model)
    platform = platform_resource(settings).open(config)
    now = datetime.now(UTC)
    if job is None:
        jobs = platform.list_monitoring_jobs(config, now - _LOOK_BACK)
        if not jobs:
            raise typer.BadParameter(
                "there is no monitoring job yet; monitor a day first", param_hint="--job"
            )
        job = f"{jobs[-1].model_monitor_id}/{jobs[-1].monitoring_job_id}"
    monitor_id, _, job_id = job.partition("/")
    assessment = Assessor([(config, platform)], now).assess_job(config, monitor_id, job_id)
    if assessment.event is None:
        raise typer.BadParameter(f"{job}: {assessment.reason}", param_hint="--job")
    body = json.dumps(drift_message(assessment.event, shape, now)).encode()
    with trigger_queue_resource(settings).open(config) as queue:
        message_ids = queue.publish_many([body] * copies)
    if as_json:
        print_json(
            {
                "drift_event": assessment.event.key,
                "message_ids": message_ids,
                "topic": config.trigger_topic,
            }
        )
        return
    console.print(
        f"drift event {assessment.event.key}: {len(message_ids)} message(s) published to "
        f"{config.trigger_topic}, first id {message_ids[0]}",
        markup=False,
    )
