"""Reads what Cloud Logging holds of our monitors.

Source: "Cloud Logging API v2", entries.list; "Logging query language".
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.google_cloud.session import RestSession

_RESOURCE_TYPE = "aiplatform.googleapis.com/ModelMonitor"
# A page may be empty although more follow: the search had no time for all of the log.
_MAX_PAGES = 10
_MAX_SHOWN = 3_000


def newest_entries(
    session: RestSession,
    config: MonitoringConfig,
    monitor_ids: Collection[str],
    since: datetime,
    limit: int,
) -> list[dict[str, Any]]:
    """Read the newest log entries that mention one of our monitors.

    Only the type of the resource, which is published, is asked for: the monitor may be named
    anywhere in the entry, so that the sink's filter can be held against what is really there.

    Args:
        session: calls Cloud Logging.
        config: names the project.
        monitor_ids: ids of the monitors, at least one.
        since: the oldest timestamp of an entry.
        limit: how many entries to read at most, 1 to 1000.

    Returns:
        The entries, the newest first, as the JSON form of LogEntry.

    Raises:
        RestError: the call was refused; it needs `logging.logEntries.list` on the project.
        PlatformError: there was no answer in time.
    """
    mentions = " OR ".join(json.dumps(monitor_id) for monitor_id in sorted(monitor_ids))
    request: dict[str, Any] = {
        "resourceNames": [f"projects/{config.project_id}"],
        "filter": (
            f'resource.type = "{_RESOURCE_TYPE}"\n'
            f'AND timestamp >= "{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"\n'
            f"AND ({mentions})"
        ),
        "orderBy": "timestamp desc",
        "pageSize": limit,
    }
    entries: list[dict[str, Any]] = []
    for _ in range(_MAX_PAGES):
        answer = session.call("POST", "logging", "/v2/entries:list", request)
        entries += answer.get("entries", [])
        token = answer.get("nextPageToken")
        if len(entries) >= limit or not token:
            break
        request["pageToken"] = token
    return entries[:limit]


def entry_as_text(entry: dict[str, Any]) -> str:
    """Return a log entry as JSON for people, cut where it is long."""
    text = json.dumps(entry, indent=1, ensure_ascii=True)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
