"""The deployed sink's filter on log entries, whatever their payload is."""

from __future__ import annotations

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
from transak_drift_tests.trigger.log_entries import (
    DRIFT_ENTRY,
    MONITOR_LABEL,
    OTHER_ENTRIES,
    OUR_ENTRIES,
    changed_entry,
)

MONITOR = "transak-i1-data-drift-monitor"
FILTER = sink_filter(MONITOR, ["4412345678901234567", "by-hand"])
TEMPLATE = Path(transak_drift.trigger.sink_filter.__file__).with_name(TEMPLATE_NAME).read_text()


@pytest.mark.parametrize("name", OUR_ENTRIES)
def test_all_that_our_monitors_log_passes(name: str) -> None:
    assert lets_through(FILTER, OUR_ENTRIES[name])


@pytest.mark.parametrize("name", OTHER_ENTRIES)
def test_nothing_else_passes(name: str) -> None:
    assert not lets_through(FILTER, OTHER_ENTRIES[name])


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
    assert any(lets_through(weakened, entry) for entry in OTHER_ENTRIES.values())


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
