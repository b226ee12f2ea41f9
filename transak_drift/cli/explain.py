"""`transak-drift explain`: what the trigger would do with a message, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from transak_drift.cli import output
from transak_drift.definitions import platform_resource
from transak_drift.settings import load_settings
from transak_drift.trigger.assessment import Assessment, Assessor, Verdict
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
    message: Annotated[
        typer.FileBinaryRead, typer.Argument(metavar="FILE|-", help="The body; - reads it here.")
    ],
    model: output.ModelOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Say what the trigger would do with a message body; nothing is changed anywhere.

    The status is 0 for each verdict: drift, not drift, waiting, rejected, unavailable.
    """
    settings = load_settings()
    platform = platform_resource(settings)
    models = [(config, platform.open(config)) for config in output.chosen_configs(settings, model)]
    assessment = Assessor(models, datetime.now(UTC)).assess(message.read(_MAX_READ_BYTES))
    document = assessment_document(assessment)
    if as_json:
        output.print_json(document)
        return
    output.print_line(f"{assessment.verdict}: {document['reason']}")
    output.print_line(f"what follows: {_CONSEQUENCES[assessment.verdict]}")
    if assessment.job is not None:
        output.print_line(f"monitoring job: {document['monitoring_job']}")
    if assessment.features:
        output.print_table("Features", document["features"], "")


def assessment_document(assessment: Assessment) -> dict[str, Any]:
    """Return what the trigger makes of a message or a job, as JSON-ready values."""
    rejection = f"{assessment.rejection}: " if assessment.rejection else ""
    return {
        "verdict": str(assessment.verdict),
        "reason": rejection + assessment.reason,
        "monitoring_job": assessment.job and assessment.job.name,
        "drift_event": assessment.event and assessment.event.key,
        "features": [feature.model_dump() for feature in assessment.features],
    }
