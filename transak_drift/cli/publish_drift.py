"""`transak-drift publish-drift`: publish the message of a real monitoring job, to test the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from transak_drift.cli.explain import assessment_document
from transak_drift.cli.output import JsonOption, ModelOption, print_json, print_line, print_note
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import (
    NamedJob,
    monitoring_job_name,
    parse_monitoring_job_name,
)
from transak_drift.definitions import platform_resource, trigger_queue_resource
from transak_drift.defs.local_resources import local_platform_resource
from transak_drift.drift.drift_event import DriftEvent, drift_event_key
from transak_drift.platform import DriftPlatform, PlatformError
from transak_drift.settings import Settings, load_settings
from transak_drift.trigger.assessment import Assessor, Verdict
from transak_drift.trigger.log_entry import MessageShape, drift_message

_LOOK_BACK = timedelta(days=400)


def publish_drift(
    job: Annotated[
        str | None,
        typer.Option(
            "--job",
            help="Monitoring job: its id, <monitor id>/<job id> or resource name. By default: with "
            "generated transactions a new one, of a window that drifts; with your own the newest "
            "that drifted; on gcp the newest.",
        ),
    ] = None,
    shape: Annotated[
        MessageShape, typer.Option("--shape", help="The form of the message.")
    ] = MessageShape.LOG_ENTRY,
    copies: Annotated[int, typer.Option("--copies", min=1, max=100_000)] = 1,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the message of a monitoring job to the trigger topic, as the log sink would."""
    settings = load_settings()
    config = settings.load_config(model)
    platform = platform_resource(settings).open(config)
    now = datetime.now(UTC)
    assessor = Assessor([(config, platform)], now)
    named = _named_job(config, job) if job else _default_job(settings, config, platform, assessor)
    assessment = assessor.assess(json.dumps(named.name).encode())
    document = assessment_document(assessment)
    if assessment.verdict != Verdict.DRIFT:
        print_note(f"{assessment.verdict}: {document['reason']}; no training will follow")
    # Without drift the message tells of a job that found nothing.
    event = assessment.event or DriftEvent(
        **named._asdict(), features=(), window_start=None, window_end=now
    )
    body = json.dumps(drift_message(event, shape, now)).encode()
    with trigger_queue_resource(settings).open(config) as queue:
        message_ids = queue.publish_many([body] * copies)
    key = drift_event_key(named.model_monitor_id, named.monitoring_job_id)
    if as_json:
        published = {"message_ids": message_ids, "topic": config.trigger_topic}
        found = {name: document[name] for name in ("monitoring_job", "verdict")}
        print_json({"drift_event": key, **published, **found})
        return
    print_line(
        f"{key} ({document['verdict']}: {document['reason']}): {len(message_ids)} message(s) "
        f"published to {config.trigger_topic}, first id {message_ids[0]}"
    )


def _named_job(config: MonitoringConfig, text: str) -> NamedJob:
    monitor, _, job_id = text.rpartition("/")
    name = text
    if "/" not in monitor:
        ids = (monitor or config.model_monitor_id, job_id)
        name = monitoring_job_name(config.project_id, config.location, *ids)
    try:
        return parse_monitoring_job_name(name)
    except ValueError:
        raise PlatformError(
            f"--job {text!r} is no monitoring job; name its id, <monitor id>/<job id>, or its "
            "resource name"
        ) from None


def _default_job(
    settings: Settings, config: MonitoringConfig, platform: DriftPlatform, assessor: Assessor
) -> NamedJob:
    now = datetime.now(UTC)
    if settings.platform == "local" and config.transactions is None:
        local = local_platform_resource(settings).open(config)
        yesterday = now.date() - timedelta(days=1)
        made = local.monitor_drifted_window(config, max(config.start_date, yesterday))
        return _named_job(config, made.name)
    listed = platform.list_monitoring_jobs(config, now - _LOOK_BACK)
    for item in sorted(listed, key=lambda item: item.created, reverse=True):
        ids = (item.model_monitor_id, item.monitoring_job_id)
        if settings.platform == "gcp" or assessor.assess_job(config, *ids).verdict == Verdict.DRIFT:
            return NamedJob(config.project_id, config.location, *ids)
    missing = "has drifted yet" if listed else "was monitored yet"
    raise PlatformError(
        f"no window of {config.model_name} {missing}; monitor days that drift, e.g. with "
        "`transak-drift backfill`, or name a monitoring job with --job"
    )
