"""Looks at the log sink that passes on what our monitors log to the trigger topic.

Source: "Cloud Logging API v2", projects.sinks.list.
"""

from __future__ import annotations

from typing import Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import topic_name
from transak_drift.google_cloud.check import Check, missing, passed, unknown
from transak_drift.google_cloud.session import RestSession
from transak_drift.platform import PlatformError
from transak_drift.trigger.sink_filter import TEMPLATE_NAME, sink_filter

_APPLY = "run `terraform apply` in terraform/"
_MAX_PAGES = 50


def check_log_sink(session: RestSession, config: MonitoringConfig) -> tuple[Check, str | None]:
    """Find the sink by its destination, and hold its filter against the project's.

    Args:
        session: calls Cloud Logging.
        config: names project, monitor and topic.

    Returns:
        The check, and the sink's writer identity, or None where there is no such sink.
    """
    name = "log sink"
    destination = f"pubsub.googleapis.com/{topic_name(config.project_id, config.trigger_topic)}"
    try:
        sinks = _list_sinks(session, config.project_id)
    except PlatformError as error:
        fix = f"enable the Logging API, grant roles/logging.viewer on {config.project_id}"
        return unknown(name, str(error), fix), None
    to_topic = [sink for sink in sinks if sink.get("destination") == destination]
    if not to_topic:
        return missing(name, f"no sink writes to {destination}", _APPLY), None
    expected = _without_space(
        sink_filter(config.model_monitor_id, config.further_model_monitor_ids)
    )
    right = [sink for sink in to_topic if _without_space(sink.get("filter", "")) == expected]
    if not right:
        names = ", ".join(str(sink.get("name")) for sink in to_topic)
        detail = f"the filter of {names} is not the one of monitor {config.model_monitor_id}"
        fix = f"{_APPLY}: it deploys transak_drift/trigger/{TEMPLATE_NAME}"
        return missing(name, detail, fix), None
    sink = right[0]
    if sink.get("disabled"):
        return missing(name, f"{sink['name']} is disabled", "enable it"), None
    if len(right) > 1:
        names = ", ".join(str(item.get("name")) for item in right)
        detail = f"{names} have the same filter, so that each message comes more than once"
        return missing(name, detail, "delete all but one"), sink.get("writerIdentity")
    detail = f"{sink['name']} with the project's own filter"
    return passed(name, detail), sink.get("writerIdentity")


def _list_sinks(session: RestSession, project_id: str) -> list[dict[str, Any]]:
    sinks: list[dict[str, Any]] = []
    token = ""
    for _ in range(_MAX_PAGES):
        path = f"/v2/projects/{project_id}/sinks?pageSize=100"
        answer = session.call("GET", "logging", f"{path}&pageToken={token}" if token else path)
        sinks += answer.get("sinks", [])
        token = answer.get("nextPageToken", "")
        if not token:
            break
    return sinks


def _without_space(text: str) -> str:
    # Terraform and the API may change line ends and trailing space, which mean nothing.
    return "\n".join(line.strip() for line in text.strip().splitlines() if line.strip())
