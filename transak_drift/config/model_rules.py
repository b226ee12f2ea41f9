"""What the configurations of several monitored models must not share, and what they may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transak_drift.config.errors import ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig

_QUEUE_SETTINGS = ("project_id", "trigger_topic", "dead_letter_topic", "dead_letter_subscription")

_Models = Sequence[tuple[str, MonitoringConfig]]


def models_that_disagree(models: Sequence[tuple[str, MonitoringConfig]]) -> list[ConfigFault]:
    """Find models that claim the same name, or that share a part of a trigger queue only.

    Models may share the whole queue (topic, subscription and dead letters): the sensor tells their
    messages apart by the monitor. A topic with two subscriptions would send each message to both.

    Args:
        models: name of the file and configuration of each model.

    Returns:
        One fault for each disagreement; its path starts with the file's name.
    """
    faults = [
        *_claimed_twice(
            models,
            "asset_prefix",
            lambda config: config.asset_prefix,
            "prefixes the assets of",
            "set another asset_prefix, or rename the file",
        ),
        *_claimed_twice(
            models,
            "model_monitor_id",
            lambda config: config.model_monitor_id,
            "is the ModelMonitor of",
            "set another model_monitor_id, or another monitoring_job_display_name",
        ),
        *_claimed_twice(
            models,
            "model_name",
            lambda config: (config.project_id, config.location, config.model_name),
            "is monitored already by",
            "keep one of the two files: one drift would train the model twice",
        ),
    ]
    for number, (file, config) in enumerate(models):
        faults += _foreign_monitors(file, config, [*models[:number], *models[number + 1 :]])
        for other_file, other in models[:number]:
            fault = _queue_fault(file, config, other_file, other)
            if fault is not None:
                faults.append(fault)
    return faults


def _claimed_twice(
    models: _Models,
    setting: str,
    claim: Callable[[MonitoringConfig], Any],
    problem: str,
    fix: str,
) -> list[ConfigFault]:
    owners: dict[Any, str] = {}
    faults = []
    for file, config in models:
        owner = owners.setdefault(claim(config), file)
        if owner != file:
            value = getattr(config, setting)
            faults.append(ConfigFault(f"{file}: {setting}", value, f"{problem} {owner}", fix))
    return faults


def _foreign_monitors(file: str, config: MonitoringConfig, others: _Models) -> list[ConfigFault]:
    """A further monitor is of one model alone."""
    owners = {
        monitor: other_file
        for other_file, other in others
        for monitor in (*other.further_model_monitor_ids, other.model_monitor_id)
    }
    return [
        ConfigFault(
            f"{file}: further_model_monitor_ids[{index}]",
            monitor,
            f"is a ModelMonitor of {owners[monitor]}",
            "keep it with the model that it monitors",
        )
        for index, monitor in enumerate(config.further_model_monitor_ids)
        if monitor in owners
    ]


def _queue_fault(
    file: str, config: MonitoringConfig, other_file: str, other: MonitoringConfig
) -> ConfigFault | None:
    """Two models have the whole queue in common, or nothing of it."""
    if config.trigger_subscription == other.trigger_subscription:
        for setting in _QUEUE_SETTINGS:
            value, expected = getattr(config, setting), getattr(other, setting)
            if value != expected:
                problem = (
                    f"differs from {expected!r} of {other_file}, which has the same "
                    "trigger_subscription"
                )
                fix = "make them equal, or name another trigger_topic"
                return ConfigFault(f"{file}: {setting}", value, problem, fix)
        return None
    if config.project_id != other.project_id:
        return None
    topics = {other.trigger_topic: "trigger_topic", other.dead_letter_topic: "dead_letter_topic"}
    for setting in ("trigger_topic", "dead_letter_topic"):
        value = getattr(config, setting)
        # Dead letters of several queues may be kept together.
        if value in topics and (setting, topics[value]) != ("dead_letter_topic",) * 2:
            problem = f"is the {topics[value]} of {other_file}, which has another subscription"
            fix = "name another topic, or share trigger_subscription as well"
            return ConfigFault(f"{file}: {setting}", value, problem, fix)
    subscriptions = {other.trigger_subscription, other.dead_letter_subscription}
    for setting in ("trigger_subscription", "dead_letter_subscription"):
        value = getattr(config, setting)
        shared_letters = (
            setting == "dead_letter_subscription"
            and value == other.dead_letter_subscription
            and config.dead_letter_topic == other.dead_letter_topic
        )
        if value in subscriptions and not shared_letters:
            problem = f"is a subscription of {other_file} on another topic"
            return ConfigFault(f"{file}: {setting}", value, problem, "name another subscription")
    return None
