"""Reads what Cloud Logging holds of our monitors, and holds the trigger against it.

Source: "Cloud Logging API v2", entries.list; "Logging query language".
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.google_cloud.check import Check, answered, missing, passed
from transak_drift.google_cloud.session import RestSession
from transak_drift.trigger.log_entry import MODEL_MONITOR_TYPE
from transak_drift.trigger.message import Rejected, read_message
from transak_drift.trigger.sink_filter import lets_through, sink_filter

_MAX_SHOWN = 3_000
_CHECKED_ENTRIES = 10


def newest_entries(
    session: RestSession,
    config: MonitoringConfig,
    monitor_ids: Collection[str],
    since: datetime,
    limit: int,
) -> list[dict[str, Any]]:
    """Read the newest log entries since a time that mention one of the monitors, newest first.

    Only the type of the resource, which is published, is asked for: the monitor may be named
    anywhere in the entry, so that the sink's filter can be held against what is really there.
    The call needs `logging.logEntries.list` on the project.
    """
    if not monitor_ids:
        return []
    mentions = " OR ".join(json.dumps(monitor_id) for monitor_id in sorted(monitor_ids))
    request = {
        "resourceNames": [f"projects/{config.project_id}"],
        "filter": (
            f'resource.type = "{MODEL_MONITOR_TYPE}"\n'
            f'AND timestamp >= "{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"\n'
            f"AND ({mentions})"
        ),
        "orderBy": "timestamp desc",
        "pageSize": limit,
    }
    return session.list_all("POST", "logging", "/v2/entries:list", "entries", request)


def entry_as_text(entry: dict[str, Any]) -> str:
    """Return a log entry as JSON for people, cut where it is long."""
    text = json.dumps(entry, indent=1, ensure_ascii=True)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def check_log_entries(
    session: RestSession,
    config: MonitoringConfig,
    monitor_ids: Collection[str],
    since: datetime,
    drifted_job: str | None,
) -> Check:
    """Hold the sink's filter and the reader of messages against the newest entries.

    `drifted_job` is a monitoring job since then that found drift, or None.
    """
    name = "log entries"

    def check() -> Check:
        entries = newest_entries(session, config, monitor_ids, since, _CHECKED_ENTRIES)
        if not entries and drifted_job is None:
            return passed(name, f"none since {since:%Y-%m-%d}, and no job found drift")
        if not entries:
            return missing(
                name,
                f"{drifted_job} found drift, but no entry mentions a monitor of ours",
                "materialize model_monitor with log_anomalies = true; does the bucket _Default "
                "exclude the entries? Without them only the notification channel and Dagster's "
                "polling start a training",
            )
        deployed = sink_filter(config.model_monitor_id, config.further_model_monitor_ids)
        jobs: set[str] = set()
        for entry in entries:
            if not lets_through(deployed, entry):
                return missing(
                    name,
                    f"the sink's filter holds back the entry of {entry.get('timestamp')}",
                    "add its model_monitor_id to further_model_monitor_ids and run `terraform "
                    "apply`; if it has no such label, report the entry's shape",
                    entry_as_text(entry),
                )
            read = read_message(json.dumps(entry).encode())
            if isinstance(read, Rejected):
                return missing(
                    name,
                    f"the trigger cannot read the entry of {entry.get('timestamp')}: "
                    f"{read.reason}: {read.detail}",
                    "report the entry's shape; the notification channel and Dagster's polling "
                    "start the training all the same",
                    entry_as_text(entry),
                )
            if isinstance(read, tuple):
                jobs |= {f"{job.model_monitor_id}/{job.monitoring_job_id}" for job in read}
        detail = f"{len(entries)} pass the filter and name {', '.join(sorted(jobs))}"
        return passed(name, detail, entry_as_text(entries[0]))

    return answered(name, f"grant roles/logging.viewer on {config.project_id}", check)
