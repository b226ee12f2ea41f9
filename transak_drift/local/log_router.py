"""Cloud Logging and its sink on the local platform: the filter is the text Terraform deploys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime

from transak_drift.drift.drift_event import DriftEvent
from transak_drift.local.state_directory import StateDirectory
from transak_drift.trigger.log_entry import anomaly_log_entry
from transak_drift.trigger.sink_filter import lets_through, sink_filter


def write_anomaly(
    event: DriftEvent, state: StateDirectory, publish: Callable[[bytes], str]
) -> str | None:
    """Write an anomaly to the log, and let the sink pass it on.

    Args:
        event: the drift event of a monitoring run.
        state: the monitored model's directory; its log gets the entry.
        publish: publishes a body to the trigger topic and returns the message's id.

    Returns:
        The id of the published message, or None where the sink's filter did not let it through.
    """
    config = state.config
    entry = anomaly_log_entry(event, receive_time=datetime.now(UTC))
    body = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    state.anomaly_log.parent.mkdir(parents=True, exist_ok=True)
    with state.anomaly_log.open("a", encoding="utf-8") as log:
        log.write(body + "\n")
        log.flush()
        os.fsync(log.fileno())
    passes = lets_through(
        sink_filter(config.model_monitor_id, config.further_model_monitor_ids), entry
    )
    return publish(body.encode()) if passes else None
