"""Looks at the log sink that passes drift anomalies on to the trigger topic.

Source: "Cloud Logging API v2", projects.sinks.list.
"""

from __future__ import annotations

from typing import Any

from transak_drift.config.finding import Finding, gap, in_order, unknown
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import topic_name
from transak_drift.google_cloud.session import RestError, RestSession
from transak_drift.platform import PlatformError
from transak_drift.trigger.sink_filter import sink_filter

_APPLY = "run `terraform apply` in terraform/"
_MOST_PAGES = 50


def inspect_log_sink(
    session: RestSession, config: MonitoringConfig
) -> tuple[list[Finding], str | None]:
    """Find the sink by its destination, and hold its filter against the project's.

    Args:
        session: calls Cloud Logging.
        config: names project, monitor and topic.

    Returns:
        The findings, and the sink's writer identity, or None where there is none.
    """
    destination = f"pubsub.googleapis.com/{topic_name(config.project_id, config.trigger_topic)}"
    try:
        sinks = _list_sinks(session, config.project_id)
    except RestError as error:
        fix = (
            f"grant roles/logging.viewer on the project {config.project_id}"
            if error.status == 403
            else "enable the Logging API, and check project_id"
        )
        return [unknown("log sink", str(error), fix)], None
    except PlatformError as error:
        return [unknown("log sink", str(error), "try again")], None
    matching = [sink for sink in sinks if sink.get("destination") == destination]
    if not matching:
        return [gap("log sink", f"no sink writes to {destination}", _APPLY)], None
    expected = _without_space(
        sink_filter(config.model_monitor_id, config.further_model_monitor_ids)
    )
    right = [sink for sink in matching if _without_space(sink.get("filter", "")) == expected]
    if not right:
        names = ", ".join(str(sink.get("name")) for sink in matching)
        return [
            gap(
                "log sink filter",
                f"the filter of {names} is not the one of monitor {config.model_monitor_id}",
                f"{_APPLY}: it deploys transak_drift/trigger/sink_filter.tftpl",
            )
        ], None
    sink = right[0]
    if sink.get("disabled"):
        return [gap("log sink", f"{sink['name']} is disabled", "enable it")], None
    findings = [in_order("log sink", f"{sink['name']} with the project's own filter")]
    if len(matching) > 1:
        findings.append(
            gap(
                "log sinks",
                f"{len(matching)} sinks write to the topic, so each anomaly comes more than once",
                "delete all but one",
            )
        )
    return findings, sink.get("writerIdentity")


def _list_sinks(session: RestSession, project_id: str) -> list[dict[str, Any]]:
    sinks: list[dict[str, Any]] = []
    token = ""
    for _ in range(_MOST_PAGES):
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
