"""What one setting of the configuration says about another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from transak_drift.config.errors import ConfigFault, dotted_path

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "trigger_topic": "ps-transak-i1-train-trigger",
        "label_column": "category",
        "date_column": "date",
    }
)
"""Defaults of the settings that others are held against."""

DERIVED_FROM = {
    "model_monitor_id": "monitoring_job_display_name",
    "trigger_subscription": "trigger_topic",
    "dead_letter_topic": "trigger_topic",
    "dead_letter_subscription": "dead_letter_topic",
}


def with_derived_names(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the names that follow from another name and are not given.

    Args:
        document: the configuration as plain values.

    Returns:
        A copy with the names; a name whose source is no text stays out.
    """
    filled = dict(document)
    for name, source in DERIVED_FROM.items():
        value = filled.get(source, DEFAULTS.get(source))
        if name in filled or not isinstance(value, str):
            continue
        if name == "model_monitor_id":
            filled[name] = default_model_monitor_id(value)
        else:
            suffix = "-dead-letter" if name == "dead_letter_topic" else "-subscription"
            filled[name] = f"{value}{suffix}"
    return filled


def settings_that_disagree(document: Mapping[str, Any]) -> list[ConfigFault]:
    """Find settings that are each right but do not go together.

    Args:
        document: the configuration as plain values; parts of a wrong type are passed over, since
            they are reported by themselves.

    Returns:
        One fault for each disagreement.
    """
    faults = []
    thresholds = document.get("drift_thresholds")
    features = set(thresholds) if isinstance(thresholds, Mapping) else None
    types = document.get("feature_types")
    if features is not None and isinstance(types, Mapping):
        faults += [
            ConfigFault(
                dotted_path(("feature_types", name)),
                types[name],
                "is the type of a feature without a threshold",
                f"add {dotted_path(('drift_thresholds', name))} or remove the type",
            )
            for name in sorted(set(types) - features)
        ]
    policy = document.get("retrain_policy")
    minimum = policy.get("minimum_anomalous_features") if isinstance(policy, Mapping) else None
    if features and isinstance(minimum, int) and minimum > len(features):
        faults.append(
            ConfigFault(
                "retrain_policy.minimum_anomalous_features",
                minimum,
                f"is more than the {len(features)} monitored features, so nothing could train",
                f"write {len(features)} or less",
            )
        )
    names = with_derived_names(document)
    faults += _repeated_monitors(names)
    equal: set[str] = set()
    for name, other, problem in (
        (
            "dead_letter_topic",
            "trigger_topic",
            "is the trigger topic itself: rejected messages would return for ever",
        ),
        (
            "dead_letter_subscription",
            "trigger_subscription",
            "is the trigger subscription itself: it cannot be bound to both topics",
        ),
        ("date_column", "label_column", "is the label column itself: a day is no category"),
    ):
        value = names.get(name, DEFAULTS.get(name))
        # Names made from two equal names are equal too: mending the source mends them.
        is_consequence = name not in document and DERIVED_FROM.get(name) in equal
        if is_consequence or not isinstance(value, str):
            continue
        if value == names.get(other, DEFAULTS.get(other)):
            equal.add(name)
            faults.append(ConfigFault(name, value, problem, f"name another than {other}"))
    return faults


def _repeated_monitors(names: Mapping[str, Any]) -> Iterator[ConfigFault]:
    further = names.get("further_model_monitor_ids")
    known = {str(names.get("model_monitor_id")): "model_monitor_id"}
    for index, monitor in enumerate(further if isinstance(further, list | tuple) else ()):
        path = f"further_model_monitor_ids[{index}]"
        if isinstance(monitor, str) and known.setdefault(monitor, path) != path:
            yield ConfigFault(path, monitor, f"is {known[monitor]} already", "remove it")


def default_model_monitor_id(display_name: str) -> str:
    """Make a ModelMonitor id from its display name: lower case, other characters as hyphens.

    Args:
        display_name: the monitor's display name, e.g. `transak_i1_data_drift_monitor`.

    Returns:
        An id of at most 63 characters from [a-z0-9-], e.g. `transak-i1-data-drift-monitor`.
        Source: CreateModelMonitorRequest.model_monitor_id, Vertex AI API v1beta1.
    """
    return re.sub(r"[^a-z0-9]+", "-", display_name.lower()).strip("-")[:63].strip("-")
