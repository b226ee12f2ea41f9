"""A person's decision about a drift event: recorded in the event log, and the job that asks for it.

The commands `transak-drift approve` and `decline` record in the same way. Nothing is trained here:
the drift message sensor reads the decision at its next tick.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import read_all_records, write_records
from transak_drift.trigger.approval import (
    DECISION_KINDS,
    NEWEST,
    Decision,
    UndecidableError,
    check_counted,
    decision_records,
    find_event,
)
from transak_drift.trigger.inbox import TriggerRecord

# Dagster+ tags a run with who launched it; open-source Dagster knows nobody.
_USER_TAG = "user"
_RETRIES_TAG = "dagster/max_retries"
_ROOT_RUN_TAG = "dagster/root_run_id"
_MAX_BY = 200


def decide_event(
    instance: dg.DagsterInstance,
    configs: Sequence[MonitoringConfig],
    event: str,
    decision: Decision,
    reason: str,
    by: str,
) -> list[TriggerRecord]:
    """Record a decision about an event of one of the models; return what counts of it.

    The event is named by its key, its monitoring job's id or `newest`. An UndecidableError says why
    there is nothing to decide, or that somebody was faster.
    """
    assets = {c.model_name: keys.ModelNames.of(c).asset(keys.DRIFT_EVENT) for c in configs}
    logs = {model: list(read_all_records(instance, asset)) for model, asset in assets.items()}
    model, key = find_event(logs, event)
    records = decision_records(logs[model], key, decision, reason, by, datetime.now(UTC))
    write_records(instance, assets[model], records)
    # Whoever decides at the same moment reads the same order.
    log = list(read_all_records(instance, assets[model]))
    for record in records:
        check_counted(log, record)
    return records


class DecisionConfig(dg.Config):
    """What a person decides in the launchpad."""

    event: str = Field(
        default=NEWEST,
        description=(
            "The drift event: its key `<monitor id>/<job id>`, the id of its monitoring job, or "
            "`newest`, which is the newest that awaits approval."
        ),
    )
    decision: Decision = Field(
        default=Decision.approve,
        description=(
            "approve: the newest event that waits trains once, and its training answers the older "
            "ones. decline: the event and the older ones that wait never train."
        ),
    )
    reason: str = Field(
        default="", description="Why, for those who read it later. A decline needs it."
    )
    by: str = Field(
        default="",
        description="Your name, where Dagster does not know who launches a run.",
    )


def decision_job(model: MonitoringConfig) -> dg.JobDefinition:
    """Build the job by which a person decides the drift events of a model."""
    names = keys.ModelNames.of(model)

    # Operations of several models need names of their own.
    @dg.op(name=names.name(keys.DECISION_OPERATION))
    def decide(context: dg.OpExecutionContext, config: DecisionConfig) -> None:
        """Record the decision as an observation of the drift event."""
        root = context.run.tags.get(_ROOT_RUN_TAG, context.run_id)
        mark = f"run {root[:8]}"
        log = list(read_all_records(context.instance, names.asset(keys.DRIFT_EVENT)))
        before = [x for x in log if x.kind in DECISION_KINDS and x.by.endswith(mark)]
        who = config.by.strip() or context.run.tags.get(_USER_TAG) or "somebody in the Dagster UI"
        # The mark is at the end, which is cut first.
        by = f"{who[:_MAX_BY]}, {mark}"
        chosen = (config.event.strip(), config.decision, config.reason)
        try:
            if before:
                for record in before:
                    check_counted(log, record)
                context.log.info(f"recorded before: {before[0].key} {before[0].kind}")
                return
            records = decide_event(context.instance, [model], *chosen, by)
        except UndecidableError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        for record in records:
            context.log.info(f"{record.key} {record.kind} {record.detail}")

    @dg.job(
        name=names.name(keys.DECISION_JOB),
        config=dg.RunConfig(ops={names.name(keys.DECISION_OPERATION): DecisionConfig()}),
        # Tried again it might find another event to be the newest.
        tags={_RETRIES_TAG: "0", keys.MODEL_TAG: model.model_name},
        description=(
            f"Approves or declines a drift event of {model.model_name} that awaits approval; as it "
            "stands, the newest is approved."
        ),
    )
    def decide_drift_event() -> None:
        decide()

    return decide_drift_event
