"""Drift messages by hand: `transak-drift explain`, `publish-drift` and `dead-letters`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from transak_drift.cli import output
from transak_drift.cli.output import JsonOption, ModelOption
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import (
    NamedJob,
    monitoring_job_name,
    parse_monitoring_job_name,
)
from transak_drift.definitions import platform_resource, trigger_queue_resource
from transak_drift.defs.local_resources import local_platform_resource
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import DriftPlatform, PlatformError
from transak_drift.settings import Settings, load_settings
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict
from transak_drift.trigger.intake import MAX_WAIT
from transak_drift.trigger.log_entry import MessageShape, drift_message

_LOOK_BACK = timedelta(days=400)
# Pub/Sub takes 10 MB ("Pub/Sub quotas and limits"); what is longer is no message.
_MAX_READ_BYTES = 16 * 1024 * 1024
_MAX_BODY_BYTES = 2_000
_SHOWN = {"feature", "distance", "threshold", "by_chance", "objective"}
_COLUMNS = ("message_id", "reason", "detail", "forwarded")

dead_letters = typer.Typer(help="Rejected drift messages.", no_args_is_help=True)

LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Look at so many at most; by default at all.")
]

_CONSEQUENCES = {
    Verdict.DRIFT: "it trains once, unless policy, person or a lack of labels holds it, or it was "
    "answered before",
    Verdict.NOT_DRIFT: "it is recorded and acknowledged, and trains nothing",
    Verdict.WAITING: f"it is kept and looked at again, for {MAX_WAIT.days} days at most",
    Verdict.REJECTED: "it goes to the dead letters with this reason",
    Verdict.UNAVAILABLE: "it is kept and looked at again once the platform answers",
}


def explain(
    message: Annotated[
        typer.FileBinaryRead, typer.Argument(metavar="FILE|-", help="The body; - reads it here.")
    ],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the trigger would do with a message body; nothing is changed anywhere.

    The status is 0 for each verdict: drift, not drift, waiting, rejected, unavailable.
    """
    settings = load_settings()
    platform = platform_resource(settings)
    models = [(config, platform.open(config)) for config in output.chosen_configs(settings, model)]
    assessment = Assessor(models, datetime.now(UTC)).assess(message.read(_MAX_READ_BYTES))
    document = _document(assessment)
    if as_json:
        output.print_json(document)
        return
    output.print_line(f"{assessment.verdict}: {document['reason']}")
    output.print_line(f"what follows: {_CONSEQUENCES[assessment.verdict]}")
    if assessment.job is not None:
        output.print_line(f"monitoring job: {document['monitoring_job']}")
    if assessment.features:
        output.print_table("Features", document["features"], "")


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
    document = _document(assessment)
    if assessment.verdict != Verdict.DRIFT:
        output.print_note(f"{assessment.verdict}: {document['reason']}; no training will follow")
    # Without drift the message is that of a job that found nothing.
    event = assessment.event or DriftEvent(
        **named._asdict(), features=(), window_start=None, window_end=now
    )
    body = json.dumps(drift_message(event, shape, now)).encode()
    with trigger_queue_resource(settings).open(config) as queue:
        message_ids = queue.publish_many([body] * copies)
    if as_json:
        found = {name: document[name] for name in ("monitoring_job", "verdict")}
        topic = {"topic": config.trigger_topic}
        output.print_json({"drift_event": event.key, "message_ids": message_ids, **topic, **found})
        return
    output.print_line(
        f"{event.key} ({document['verdict']}: {document['reason']}): {len(message_ids)} message(s) "
        f"published to {config.trigger_topic}, first id {message_ids[0]}"
    )


def _named_job(config: MonitoringConfig, text: str) -> NamedJob:
    monitor, _, job_id = text.rpartition("/")
    ids = (monitor or config.model_monitor_id, job_id)
    name = monitoring_job_name(config.project_id, config.location, *ids)
    try:
        return parse_monitoring_job_name(text if "/" in monitor else name)
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
        window = config.windows.newest_ended(now)
        window = max(config.windows.first_from(config.start_date), window)
        made = local.monitor_drifted_window(config, window)
        return _named_job(config, made.name)
    listed = platform.list_monitoring_jobs(config, now - _LOOK_BACK)
    for item in sorted(listed, key=lambda item: item.created, reverse=True):
        ids = (item.model_monitor_id, item.monitoring_job_id)
        if settings.platform == "gcp" or assessor.assess_job(config, *ids).verdict == Verdict.DRIFT:
            return NamedJob(config.project_id, config.location, *ids)
    missing = "has drifted yet" if listed else "was monitored yet"
    raise PlatformError(
        f"no window of {config.model_name} {missing}; monitor windows that drift, e.g. with "
        "`transak-drift backfill`, or name a monitoring job with --job"
    )


@dead_letters.command("list")
def list_dead_letters(
    limit: LimitOption = None, model: ModelOption = None, as_json: JsonOption = False
) -> None:
    """List the dead letters with the reason of each, and leave them where they are."""
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        letters = [
            {
                "message_id": letter.source_message_id,
                "reason": letter.reason,
                "detail": letter.detail,
                "forwarded": letter.publish_time.isoformat(timespec="seconds"),
                "attributes": dict(letter.message.attributes),
                "body": letter.message.data[:_MAX_BODY_BYTES].decode(errors="backslashreplace"),
            }
            for letter in queue.list_dead_letters(limit)
        ]
    if as_json:
        output.print_json(letters)
        return
    rows = [{name: letter[name] for name in _COLUMNS} for letter in letters]
    output.print_table(f"Dead letters in {config.dead_letter_subscription}", rows, "none")


@dead_letters.command("replay")
def replay_dead_letters(
    message_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of rejected messages; without any: all.")
    ] = None,
    limit: LimitOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters to the trigger topic again, once what made them fail is fixed.

    Ends with status 1 where an id is no dead letter's; the others are published all the same.
    """
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        replay = queue.replay_dead_letters(limit, message_ids or None)
    if as_json:
        output.print_json({"replayed": replay.published, "unknown": replay.missing})
    else:
        output.print_line(
            f"{len(replay.published)} message(s) published to {config.trigger_topic} again"
        )
    if replay.missing:
        where = "" if limit is None else f" among the first {limit}"
        output.print_error(
            f"no dead letter{where} has the id {', '.join(replay.missing)}; "
            "`transak-drift dead-letters list` shows the ids"
        )
        raise typer.Exit(1)


def _document(assessment: Assessment) -> dict[str, Any]:
    rejection = f"{assessment.rejection}: " if assessment.rejection else ""
    return {
        "verdict": str(assessment.verdict),
        "reason": rejection + assessment.reason,
        "monitoring_job": assessment.job and assessment.job.name,
        "drift_event": assessment.event and assessment.event.key,
        "features": [feature.model_dump(include=_SHOWN) for feature in assessment.features],
    }
