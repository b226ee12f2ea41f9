"""The log sink's filter: one text, deployed by Terraform and evaluated by the local log router."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from string import Template

from transak_drift.config.fields import (
    LOCATION,
    MODEL_MONITOR_ID,
    PROJECT_ID,
    TEXT_FORMS,
)

TEMPLATE_NAME = "sink_filter.tftpl"

_FORMS = {
    "project_id": PROJECT_ID,
    "location": LOCATION,
    "model_monitor_id": MODEL_MONITOR_ID,
}


@cache
def _template() -> Template:
    text = files("transak_drift.trigger").joinpath(TEMPLATE_NAME).read_text(encoding="utf-8")
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
        form = _FORMS[name]
        if re.fullmatch(form, value, re.ASCII) is None:
            raise ValueError(
                f"{name} = {value!r} {TEXT_FORMS[form].problem}; fix: {TEXT_FORMS[form].fix}"
            )
    return _template().substitute(values)
