"""The log sink's filter: one text, deployed by Terraform and evaluated by the local log router.

It asks only for what Google publishes of a ModelMonitor's log entries: the type of their resource
and its label. Source: "Monitored resources and services" and "Logging query language" (Cloud
Logging documentation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from transak_drift.config.sections import MODEL_MONITOR_ID
from transak_drift.trigger.log_entry import MODEL_MONITOR_TYPE

TEMPLATE_NAME = "sink_filter.tftpl"

# Leaves room for -v and six digits.
_UNCUT_LENGTH = 55
_COMPARISON = re.compile(r'(?P<path>[\w.]+) (?P<operator>=~?) "(?P<value>[^"\\]*)"')


@cache
def _template() -> Template:
    text = files("transak_drift.trigger").joinpath(TEMPLATE_NAME).read_text(encoding="utf-8")
    return Template(text)


def sink_filter(model_monitor_id: str, further_model_monitor_ids: Sequence[str] = ()) -> str:
    """Render the filter that lets through only what one model's monitors log.

    The template's `${name}` placeholder means the same to Terraform's `templatefile()`, which
    renders the same file for the deployed sink. Monitors of single model versions pass as well,
    which have the id of the configured one with `-v<version>`.

    Raises:
        ValueError: a value is not a valid id, so that it could change the filter's meaning.
    """
    pattern = model_monitor_pattern(model_monitor_id, further_model_monitor_ids)
    return _template().substitute(model_monitor_pattern=pattern)


def model_monitor_pattern(model_monitor_id: str, further_model_monitor_ids: Sequence[str]) -> str:
    """Return the regular expression of the ids of a model's monitors; see `sink_filter`."""
    for value in (model_monitor_id, *further_model_monitor_ids):
        if re.fullmatch(MODEL_MONITOR_ID, value, re.ASCII) is None:
            raise ValueError(f"model_monitor_id = {value!r} is no id or number of a ModelMonitor")
    # An id holds no character that means something else in a regular expression.
    alternatives = [model_monitor_id, _ids_of_versions(model_monitor_id)]
    alternatives += further_model_monitor_ids
    return f"^({'|'.join(alternatives)})$"


def lets_monitor_through(filter_text: str, model_monitor_id: str) -> bool:
    """Return whether a filter lets through what a monitor logs."""
    labels = {"model_monitor_id": model_monitor_id}
    resource = {"type": MODEL_MONITOR_TYPE, "labels": labels}
    return lets_through(filter_text, {"resource": resource})


def _ids_of_versions(model_monitor_id: str) -> str:
    # An id begins with a letter, and is cut so that the version fits into its 63 characters.
    base = f"monitor-{model_monitor_id}" if model_monitor_id[0].isdigit() else model_monitor_id
    uncut = base[:_UNCUT_LENGTH]
    return f"{uncut if uncut == base else f'{uncut}[a-z0-9-]*'}-v[0-9]+"


def lets_through(filter_text: str, entry: Mapping[str, Any]) -> bool:
    """Evaluate a filter on a log entry; a field that the entry lacks does not match.

    Raises:
        ValueError: the filter is not equalities and regular expressions on text, one a line, joined
            by AND; more of the Logging query language the deployed template does not use.
    """
    lines = [line for line in filter_text.splitlines() if line and not line.startswith("--")]
    comparisons = [_COMPARISON.fullmatch(line) for line in "\n".join(lines).split("\nAND ")]
    if not all(comparisons):
        raise ValueError(f"not equalities and regular expressions joined by AND: {filter_text!r}")
    return all(_holds(comparison, entry) for comparison in comparisons if comparison)


def _holds(comparison: re.Match[str], entry: Mapping[str, Any]) -> bool:
    value: Any = entry
    for name in comparison["path"].split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, str):
        return False
    if comparison["operator"] == "=":
        return value.lower() == comparison["value"].lower()
    return re.search(comparison["value"], value) is not None
