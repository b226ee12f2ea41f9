"""The log sink's filter: one text, deployed by Terraform and evaluated by the local log router."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from string import Template

TEMPLATE_NAME = "sink_filter.tftpl"

_PERMITTED = {
    "project_id": re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", re.ASCII),
    "location": re.compile(r"[a-z]+-[a-z]+[0-9]+", re.ASCII),
    "model_monitor_id": re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII),
}


@cache
def _template() -> Template:
    text = files("transak_drift.core").joinpath(TEMPLATE_NAME).read_text(encoding="utf-8")
    return Template(text)


def sink_filter(*, project_id: str, location: str, model_monitor_id: str) -> str:
    """Render the filter that lets only one monitor's drift anomalies through.

    The template's `${name}` placeholders mean the same to Terraform's `templatefile()`, which
    renders the same file for the deployed sink.

    Args:
        project_id: project whose logs the sink reads, e.g. `af-finanzen` (the id, not the number).
        location: region of the monitor, e.g. `europe-west6`.
        model_monitor_id: last part of the ModelMonitor's resource name.

    Returns:
        The filter in the Logging query language.

    Raises:
        ValueError: a value is not a valid id, so that it could change the filter's meaning.
    """
    values = {
        "project_id": project_id,
        "location": location,
        "model_monitor_id": model_monitor_id,
    }
    for name, value in values.items():
        if _PERMITTED[name].fullmatch(value) is None:
            raise ValueError(
                f"{name} = {value!r} cannot stand in the log sink's filter; "
                f"write a value of the form {_PERMITTED[name].pattern}"
            )
    return _template().substitute(values)
