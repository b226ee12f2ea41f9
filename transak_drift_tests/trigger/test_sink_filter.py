"""The deployed sink's filter on log entries of the shapes that a project's log really holds."""

from __future__ import annotations

import copy
from pathlib import Path
from string import Template
from typing import Any

import pytest

import transak_drift.trigger.sink_filter
from transak_drift.config.monitoring_config import load_config
from transak_drift.trigger.log_filter import compile_filter
from transak_drift.trigger.sink_filter import TEMPLATE_NAME, sink_filter
from transak_drift_tests.trigger.log_entries import (
    DRIFT_ENTRY,
    OTHER_ENTRIES,
    changed_entry,
)

NAMES = {
    "project_id": "af-finanzen",
    "location": "europe-west6",
    "model_monitor_id": "transak-i1-data-drift-monitor",
}


def test_the_drift_of_our_monitor_passes() -> None:
    assert compile_filter(sink_filter(**NAMES))(DRIFT_ENTRY) is True


@pytest.mark.parametrize("name", OTHER_ENTRIES)
def test_nothing_else_passes(name: str) -> None:
    assert compile_filter(sink_filter(**NAMES))(OTHER_ENTRIES[name]) is False


def test_the_drift_passes_whatever_its_severity_and_however_the_project_is_named() -> None:
    passes = compile_filter(sink_filter(**NAMES))
    assert passes(changed_entry("severity", "ERROR"))
    assert passes(changed_entry("resource.labels.resource_container", "projects/af-finanzen"))
    assert passes(changed_entry("jsonPayload.modelMonitor", "projects/af-finanzen/locations/x"))


def test_the_names_of_the_repository_config_make_the_filter_of_these_tests() -> None:
    config = load_config(Path(__file__).parents[2] / "monitoring_config.json")
    assert sink_filter(
        project_id=config.project_id,
        location=config.location,
        model_monitor_id=config.model_monitor_id,
    ) == sink_filter(**NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_decides(name: str) -> None:
    others = {
        "project_id": "af-versicherung",
        "location": "europe-west4",
        "model_monitor_id": "another-monitor",
    }
    assert compile_filter(sink_filter(**{**NAMES, name: others[name]}))(DRIFT_ENTRY) is False


@pytest.mark.parametrize("line", range(5))
def test_every_comparison_holds_something_back(line: int) -> None:
    """Without any one of its comparisons the filter would let one of the entries through."""
    lines = [text for text in sink_filter(**NAMES).splitlines() if not text.startswith("--")]
    assert len(lines) == 5
    del lines[line]
    weakened = compile_filter("\n".join(lines).removeprefix("AND "))
    assert weakened(DRIFT_ENTRY) is True
    assert any(weakened(entry) for entry in OTHER_ENTRIES.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("project_id", 'x" OR severity >= DEFAULT OR insertId = "'),
        ("project_id", "AF-Finanzen"),
        ("location", "europe-west6\n"),
        ("location", ""),
        ("model_monitor_id", "monitor_1"),
        ("model_monitor_id", "${project_id}"),
    ],
)
def test_a_value_that_could_change_the_meaning_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} = "):
        sink_filter(**{**NAMES, name: value})


def test_the_template_has_the_placeholders_that_terraform_gives_and_no_directive() -> None:
    path = Path(transak_drift.trigger.sink_filter.__file__).with_name(TEMPLATE_NAME)
    text = path.read_text(encoding="utf-8")
    assert set(Template(text).get_identifiers()) == set(NAMES)
    assert "%{" not in text
    assert "$$" not in text


def test_an_entry_is_not_changed_by_the_filter() -> None:
    entry: dict[str, Any] = copy.deepcopy(DRIFT_ENTRY)
    compile_filter(sink_filter(**NAMES))(entry)
    assert entry == DRIFT_ENTRY
