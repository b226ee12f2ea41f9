"""What Cloud Logging holds of our monitors, read over a real socket."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from transak_drift.config.monitoring_config import load_config
from transak_drift.google_cloud.inspection import entry_as_text, newest_entries
from transak_drift.google_cloud.session import RestSession
from transak_drift_tests.config.configurations import CONFIG_FILE
from transak_drift_tests.servers.google_apis_server import LoopbackGoogleApis
from transak_drift_tests.trigger.log_entries import DRIFT_ENTRY

CONFIG = load_config(CONFIG_FILE)
OURS = [CONFIG.model_monitor_id, "4412345678901234567"]
MAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def entry(day: int, **changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(DRIFT_ENTRY)
    return {**found, "timestamp": f"2026-05-{day:02}T00:00:00Z", **changes}


def test_the_newest_entries_that_mention_our_monitors_are_read() -> None:
    numbered = entry(4, resource={**DRIFT_ENTRY["resource"], "labels": {}})
    numbered["jsonPayload"] = {"job": f"projects/1/locations/l/modelMonitors/{OURS[1]}/x"}
    with LoopbackGoogleApis() as apis:
        apis.entries += [
            entry(5),
            entry(3),
            numbered,
            entry(6, resource={"type": "audited_resource"}),
            entry(7, resource={**DRIFT_ENTRY["resource"], "labels": {}}, jsonPayload={}),
            {**entry(1), "timestamp": "2026-04-30T23:59:59Z"},
        ]
        session = RestSession(apis.url, None)
        assert newest_entries(session, CONFIG, OURS, MAY_1, 10) == [entry(5), numbered, entry(3)]
        assert newest_entries(session, CONFIG, OURS, MAY_1, 2) == [entry(5), numbered]
        assert newest_entries(session, CONFIG, ["another"], MAY_1, 2) == []


def test_a_long_entry_is_cut_and_holds_no_control_characters() -> None:
    assert '"endTime": "2026-05-02T00:00:00Z"' in entry_as_text(DRIFT_ENTRY)
    shown = entry_as_text({"textPayload": "\x1b\u2028" + "x" * 1_000_000})
    assert len(shown) < 4_000
    assert all(c.isprintable() or c == "\n" for c in shown)
