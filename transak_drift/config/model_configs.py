"""The configuration files of all monitored models: adding a model is adding a file.

The file that is named comes first; each further model has a file in the folder
`monitoring_configs` beside it. A folder of such files can be named as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, permutations
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from transak_drift.config.errors import MISSING, ConfigError, ConfigFault
from transak_drift.config.fields import AssetPrefix
from transak_drift.config.monitoring_config import MonitoringConfig, load_config

MODELS_FOLDER = "monitoring_configs"
FIRST_MODEL_FILE = "monitoring_config.json"

# What only one model may claim, what it is compared with, the problem and the fix.
_UNIQUE = (
    (
        "asset_prefix",
        ("asset_prefix",),
        "prefixes the assets of",
        "set another asset_prefix, or rename the file",
    ),
    (
        "model_monitor_id",
        ("model_monitor_id",),
        "is the ModelMonitor of",
        "set another model_monitor_id, or another monitoring_job_display_name",
    ),
    (
        "model_name",
        ("project_id", "location", "model_name"),
        "is monitored already by",
        "keep one of the two files: one drift would train the model twice",
    ),
)
_QUEUE = ("project_id", "trigger_topic", "dead_letter_topic", "dead_letter_subscription")


def load_configs(path: Path) -> tuple[MonitoringConfig, ...]:
    """Read the configurations of all monitored models, the named file's first, then by file name.

    A file of a folder gives its name as `asset_prefix` where it sets none, unless it is called
    `monitoring_config.json`.

    Raises:
        ConfigError: a file is missing, unreadable or wrong, a folder holds none, or two models
            claim the same name; lists every fault of every file.
    """
    files = config_files(path)
    if not files:
        problem = "holds no configuration"
        fix = "put a .json file into it for each monitored model"
        raise ConfigError(str(path), [ConfigFault("(folder)", str(path), problem, fix)])
    models: dict[str, MonitoringConfig] = {}
    errors: list[ConfigError] = []
    for file in files:
        try:
            config = load_config(file)
            named = file == path or file.name == FIRST_MODEL_FILE
            models[file.name] = config if named else _with_prefix(config, file)
        except ConfigError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    faults = [
        ConfigFault(f"{error.source}: {fault.path}", fault.value, fault.problem, fault.fix)
        for error in errors
        for fault in error.faults
    ]
    if faults:
        raise ConfigError("the configuration", faults)
    faults = list(_disagreements(models))
    if faults:
        raise ConfigError(" and ".join(str(file) for file in files), faults)
    return tuple(models.values())


def config_files(path: Path) -> list[Path]:
    """Return the files that `load_configs` reads; a named file also if it does not exist."""
    if path.is_dir():
        return sorted(_json_files(path), key=lambda f: (f.name != FIRST_MODEL_FILE, f.name))
    return [path, *_json_files(path.parent / MODELS_FOLDER)]


def _json_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.glob("*.json")
        if not file.name.endswith(".schema.json") and not file.name.startswith(".")
    )


def _with_prefix(config: MonitoringConfig, file: Path) -> MonitoringConfig:
    if config.asset_prefix is not None:
        return config
    prefix = re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")
    try:
        TypeAdapter(AssetPrefix).validate_python(prefix)
    except ValidationError:
        problem = f"is made from the file's name and gives {prefix!r}, which is no prefix of assets"
        fix = "set asset_prefix, or give the file a name such as transak-i2.json"
        raise ConfigError(str(file), [ConfigFault("asset_prefix", MISSING, problem, fix)]) from None
    return config.model_copy(update={"asset_prefix": prefix})


def _disagreements(models: dict[str, MonitoringConfig]) -> Iterator[ConfigFault]:
    """Find models that claim the same, or that share a part of a trigger queue only.

    Models may share the whole queue (topic, subscription and dead letters): the sensor tells their
    messages apart by the monitor. A topic with two subscriptions would send each message to both.
    """
    for (file, config), (other_file, other) in permutations(models.items(), 2):
        monitors = (other.model_monitor_id, *other.further_model_monitor_ids)
        for index, monitor in enumerate(config.further_model_monitor_ids):
            if monitor in monitors:
                path = f"{file}: further_model_monitor_ids[{index}]"
                problem = f"is a ModelMonitor of {other_file}"
                fix = "keep it with the model that it monitors"
                yield ConfigFault(path, monitor, problem, fix)
    for (other_file, other), (file, config) in combinations(models.items(), 2):
        for setting, compared, problem, fix in _UNIQUE:
            if all(getattr(config, name) == getattr(other, name) for name in compared):
                value = getattr(config, setting)
                yield ConfigFault(f"{file}: {setting}", value, f"{problem} {other_file}", fix)
        if config.trigger_subscription == other.trigger_subscription:
            setting = next((n for n in _QUEUE if getattr(config, n) != getattr(other, n)), None)
            problem = f"differs from {other_file}, which has the same trigger_subscription"
            fix = "make them equal, or name another trigger_topic"
        else:
            setting = _half_shared(config, other) if config.project_id == other.project_id else None
            problem = f"is a part of the trigger queue of {other_file}, which has another one"
            fix = "name another, or share the whole queue"
        if setting is not None:
            yield ConfigFault(f"{file}: {setting}", getattr(config, setting), problem, fix)


def _half_shared(config: MonitoringConfig, other: MonitoringConfig) -> str | None:
    """Return the first setting with which a queue takes a part of another queue."""
    taken = [
        ("trigger_topic", "trigger_topic"),
        ("trigger_topic", "dead_letter_topic"),
        ("dead_letter_topic", "trigger_topic"),
        ("trigger_subscription", "dead_letter_subscription"),
        ("dead_letter_subscription", "trigger_subscription"),
    ]
    # Dead letters of several queues may be kept together.
    if config.dead_letter_topic != other.dead_letter_topic:
        taken.append(("dead_letter_subscription", "dead_letter_subscription"))
    return next((n for n, name in taken if getattr(config, n) == getattr(other, name)), None)
