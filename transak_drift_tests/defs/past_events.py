"""Events of the past in Dagster's event log."""

from __future__ import annotations

from datetime import datetime

import dagster as dg
from dagster._core.events import StepMaterializationData


def materialization_at(moment: datetime, event: dg.AssetMaterialization) -> dg.EventLogEntry:
    """Return the log entry of a materialization at a time, as a run would have written it."""
    return dg.EventLogEntry(
        error_info=None,
        level="debug",
        user_message="",
        run_id="run-of-long-ago",
        timestamp=moment.timestamp(),
        dagster_event=dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name="a_job",
            event_specific_data=StepMaterializationData(event, []),
        ),
    )
