"""`transak-drift explain`: what the trigger would do with a message, and why."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from transak_drift.cli.output import JsonOption, ModelOption, print_json, print_line, print_table
from transak_drift.definitions import platform_resource
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict, resource_name
from transak_drift.trigger.intake import MAX_WAIT

# Pub/Sub takes 10 MB ("Pub/Sub quotas and limits"); what is longer is no message.
_MAX_READ_BYTES = 16 * 1024 * 1024

_CONSEQUENCES = {
    Verdict.DRIFT: "it trains once, unless the retrain policy holds it or it was answered before",
    Verdict.NOT_DRIFT: "it is recorded and acknowledged, and trains nothing",
    Verdict.WAITING: f"it is kept and looked at again, for {MAX_WAIT.days} days at most",
    Verdict.REJECTED: "it goes to the dead letters with this reason",
    Verdict.UNAVAILABLE: "it is kept and looked at again once the platform answers",
}


def explain(
    message: Annotated[str, typer.Argument(metavar="FILE|-", help="The body; - reads it here.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the trigger would do with a message body; nothing is changed anywhere.

    The status is 0 for each verdict: drift, not drift, waiting, rejected, unavailable.
    """
    settings = load_settings()
    configs = settings.load_configs() if model is None else (settings.load_config(model),)
    platform = platform_resource(settings)
    models = [(config, platform.open(config)) for config in configs]
    assessment = Assessor(models, datetime.now(UTC)).assess(_read(message))
    document = assessment_document(assessment)
    if as_json:
        print_json(document)
        return
    print_line(f"{assessment.verdict}: {document['reason']}")
    print_line(f"what follows: {_CONSEQUENCES[assessment.verdict]}")
    if assessment.job is not None:
        print_line(f"monitoring job: {document['monitoring_job']}")
    if assessment.features:
        print_table("Features", document["features"], "")


def assessment_document(assessment: Assessment) -> dict[str, Any]:
    """Return an assessment as JSON-ready values.

    Args:
        assessment: what the trigger makes of a message or a job.

    Returns:
        `verdict`, `reason`, `monitoring_job`, `drift_event` (its key; of drift alone) and
        `features`, each with `feature`, `distance` and `threshold`.
    """
    rejection = f"{assessment.rejection}: " if assessment.rejection else ""
    return {
        "verdict": str(assessment.verdict),
        "reason": rejection + assessment.reason,
        "monitoring_job": assessment.job and resource_name(assessment.job),
        "drift_event": assessment.event and assessment.event.key,
        "features": [feature.model_dump() for feature in assessment.features],
    }


def _read(message: str) -> bytes:
    if message == "-":
        return sys.stdin.buffer.read(_MAX_READ_BYTES)
    try:
        with Path(message).open("rb") as file:
            return file.read(_MAX_READ_BYTES)
    except OSError as error:
        raise PlatformError(
            f"{message} cannot be read ({error.strerror}); name a file that holds a message's "
            "body, or - for the standard input"
        ) from error
