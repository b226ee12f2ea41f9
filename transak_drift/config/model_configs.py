"""The configuration files of all monitored models: adding a model is adding a file.

The file that is named comes first; each further model has a file in the folder
`monitoring_configs` beside it. A folder of such files can be named as well.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transak_drift.config.errors import MISSING, ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig, load_config

MODELS_FOLDER = "monitoring_configs"
FIRST_MODEL_FILE = "monitoring_config.json"


def load_configs(
    path: Path, overrides: Mapping[str, Any] = MappingProxyType({})
) -> tuple[MonitoringConfig, ...]:
    """Read the configurations of all monitored models, the named file's first, then by file name.

    The overrides take the place of what the files set. A file of a folder gives its name as
    `asset_prefix` where it sets none, unless it is called `monitoring_config.json`. A ConfigError
    lists every fault of every file.
    """
    files = config_files(path)
    if not files:
        problem = "holds no configuration"
        fix = "put a .json file into it for each monitored model"
        raise ConfigError(str(path), [ConfigFault("(folder)", MISSING, problem, fix)])
    models: dict[Path, MonitoringConfig] = {}
    errors: list[ConfigError] = []
    for file in files:
        named = file == path or file.name == FIRST_MODEL_FILE
        prefix = None if named else re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")
        try:
            models[file] = load_config(file, prefix, overrides)
        except ConfigError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    faults = [
        replace(fault, path=f"{error.source}: {fault.path}")
        for error in errors
        for fault in error.faults
    ]
    if faults:
        raise ConfigError("the configuration", faults)
    faults = _disagreements(models)
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


def _disagreements(models: Mapping[Path, MonitoringConfig]) -> list[ConfigFault]:
    """Find models that use the same in different ways.

    Models may share a whole trigger queue, or only its dead letters: the sensor tells their
    messages apart by the monitor. A topic with two subscriptions would send each message to both.
    """
    uses: dict[Hashable, tuple[Path, Hashable]] = {}
    faults: dict[Hashable, ConfigFault] = {}
    for file, config in models.items():
        for key, resource, use, fix in _uses(file, config):
            other_file, other_use = uses.setdefault(resource, (file, use))
            if use != other_use:
                path, problem = f"{file.name}: {key}", f"is used by {other_file.name}"
                value = getattr(config, key.partition("[")[0])
                fault = ConfigFault(path, value, problem, fix)
                # What is made from a name is shared with it: the first of a queue is enough.
                faults.setdefault((file, other_file, fix), fault)
    return list(faults.values())


def _uses(file: Path, config: MonitoringConfig) -> Iterator[tuple[str, Hashable, Hashable, str]]:
    """Yield the key that names a resource, the resource, how it is used, and what to do else."""
    project, topic = config.project_id, config.trigger_topic
    subscription, dead_letters = config.trigger_subscription, config.dead_letter_topic
    kept = config.dead_letter_subscription
    monitors = (config.model_monitor_id, *config.further_model_monitor_ids)
    yield "asset_prefix", ("assets", config.asset_prefix), file, "set another, or rename the file"
    for number, monitor in enumerate(monitors):
        key = f"further_model_monitor_ids[{number - 1}]" if number else "model_monitor_id"
        yield key, ("monitor", monitor), file, "keep it with the model that it monitors"
    model = ("model", project, config.location, config.model_name)
    yield "model_name", model, file, "keep one of the two files: a drift would train it twice"
    queue = "name another, or make the trigger topic, subscription and dead letters equal"
    yield "project_id", ("queue", subscription), project, queue
    yield "trigger_topic", (project, "topic", topic), subscription, queue
    yield "trigger_subscription", (project, subscription), (topic, dead_letters, kept), queue
    yield "dead_letter_topic", (project, "topic", dead_letters), "dead letters", queue
    yield "dead_letter_subscription", (project, kept), dead_letters, queue
