"""The deployed sink's filter on log entries, whatever their payload is."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from string import Template
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import transak_drift.trigger.sink_filter
from transak_drift.config.sections import MODEL_MONITOR_ID
from transak_drift.trigger.sink_filter import TEMPLATE_NAME, lets_through, sink_filter
from transak_drift.vertex.monitors import version_monitor_id
from transak_drift_tests.trigger.drift_messages import MONITOR
from transak_drift_tests.trigger.log_entries import DRIFT_ENTRY

MONITOR_LABEL = "resource.labels.model_monitor_id"
FILTER = sink_filter(MONITOR, ["4412345678901234567", "by-hand"])
TEMPLATE = Path(transak_drift.trigger.sink_filter.__file__).with_name(TEMPLATE_NAME).read_text()


def changed_entry(path: str, value: Any) -> dict[str, Any]:
    """Return the drift entry with one field set, or without it when the value is None."""
    entry = copy.deepcopy(DRIFT_ENTRY)
    *parents, name = path.split(".")
    holder = entry
    for parent in parents:
        holder = holder[parent]
    holder[name] = value
    if value is None:
        del holder[name]
    return entry


OTHER_ENTRIES: list[dict[str, Any]] = [
    changed_entry(MONITOR_LABEL, "churn-monitor"),
    # Ids that begin or end with ours, or as that of a version's monitor.
    changed_entry(MONITOR_LABEL, f"{MONITOR}-2"),
    changed_entry(MONITOR_LABEL, f"{MONITOR}-v2-test"),
    changed_entry(MONITOR_LABEL, f"new-{MONITOR}"),
    # An endpoint of the first Model Monitoring.
    changed_entry("resource.type", "aiplatform.googleapis.com/ModelDeploymentMonitoringJob"),
    # The audit of a change of the monitor.
    {
        "logName": "projects/af-finanzen/logs/cloudaudit.googleapis.com%2Factivity",
        "resource": {
            "type": "audited_resource",
            "labels": {"service": "aiplatform.googleapis.com", "project_id": "af-finanzen"},
        },
        "severity": "NOTICE",
        "protoPayload": {"methodName": "google.cloud.aiplatform.v1beta1.UpdateModelMonitor"},
    },
    {},
]


@pytest.mark.parametrize(
    "entry",
    [
        DRIFT_ENTRY,
        # Nothing is known of the entries of Model Monitoring v2 but their resource.
        changed_entry("jsonPayload.@type", "type.googleapis.com/x.JobAnomalies"),
        changed_entry("jsonPayload", {"job": "a job has found anomalies"}),
        {**changed_entry("jsonPayload", None), "textPayload": "a job has found anomalies"},
        changed_entry("logName", "projects/af-finanzen/logs/x"),
        changed_entry("logName", None),
        changed_entry("severity", "ERROR"),
        changed_entry("resource.labels.resource_container", "projects/af-finanzen"),
        changed_entry(MONITOR_LABEL, f"{MONITOR}-v42"),
    ],
)
def test_all_that_our_monitors_log_passes(entry: dict[str, Any]) -> None:
    assert lets_through(FILTER, entry)


@pytest.mark.parametrize("entry", OTHER_ENTRIES)
def test_nothing_else_passes(entry: dict[str, Any]) -> None:
    assert not lets_through(FILTER, entry)


def test_further_monitors_pass_where_they_are_configured() -> None:
    for monitor in ("4412345678901234567", "by-hand"):
        entry = changed_entry(MONITOR_LABEL, monitor)
        assert lets_through(FILTER, entry)
        assert not lets_through(sink_filter(MONITOR), entry)
    assert not lets_through(FILTER, changed_entry(MONITOR_LABEL, "by-hand-v1"))


@given(
    st.from_regex(MODEL_MONITOR_ID, fullmatch=True), st.text(max_size=20), st.integers(1, 999_999)
)
def test_the_label_decides_as_a_whole(monitor: str, label: str, version: int) -> None:
    own = {monitor, version_monitor_id(monitor, str(version))}
    for name in (label, f"{label}-v{version}", *own):
        passes = lets_through(sink_filter(monitor), changed_entry(MONITOR_LABEL, name))
        assert passes is (name in own)


@pytest.mark.parametrize(
    "value",
    ['x" OR severity >= DEFAULT OR insertId = "', "monitor_1", "a|b", "a.b", "", "x\n", "${x}"],
)
def test_a_value_that_could_change_the_meaning_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^model_monitor_id = "):
        sink_filter(value)
    with pytest.raises(ValueError, match=r"^model_monitor_id = "):
        sink_filter(MONITOR, [value])


def test_the_template_asks_only_for_what_is_published() -> None:
    lines = [line for line in TEMPLATE.splitlines() if not line.startswith("--")]
    fields = [re.fullmatch(r'(?:AND )?(\S+) =~? "[^"\\]+"', line) for line in lines]
    assert [field and field[1] for field in fields] == ["resource.type", MONITOR_LABEL]
    assert set(Template(TEMPLATE).get_identifiers()) == {"model_monitor_pattern"}
    assert "%{" not in TEMPLATE
    assert "$$" not in TEMPLATE


@pytest.mark.parametrize("line", range(2))
def test_each_comparison_holds_something_back(line: int) -> None:
    lines = [text for text in FILTER.splitlines() if not text.startswith("--")]
    del lines[line]
    weakened = "\n".join(lines).removeprefix("AND ")
    assert lets_through(weakened, DRIFT_ENTRY)
    assert any(lets_through(weakened, entry) for entry in OTHER_ENTRIES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- nothing",
        'severity >= "WARNING"',
        'NOT insertId = "x"',
        'insertId = "x" OR insertId = "y"',
        'insertId = "x"\nOR insertId = "y"',
        'insertId = "x"\ninsertId = "y"',
        '(insertId = "x")',
        'insertId = "\\"x"',
        "RAW_FEATURE_DRIFT",
    ],
)
def test_a_filter_that_the_local_router_does_not_understand_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="joined by AND"):
        lets_through(text, DRIFT_ENTRY)


@pytest.mark.parametrize("value", [None, 7, True, [], {}, "x"])
@pytest.mark.parametrize("place", ["resource", "resource.labels", MONITOR_LABEL, "resource.type"])
def test_no_entry_raises(place: str, value: Any) -> None:
    assert not lets_through(FILTER, changed_entry(place, value))
