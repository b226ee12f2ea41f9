"""The configuration files of all monitored models: adding a model is adding a file.

The file that is named comes first; each further model has a file in the folder
`monitoring_configs` beside it. A folder of such files can be named as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from transak_drift.config.errors import MISSING, ConfigError, ConfigFault
from transak_drift.config.model_rules import models_that_disagree
from transak_drift.config.monitoring_config import MonitoringConfig, load_config

MODELS_FOLDER = "monitoring_configs"
FIRST_MODEL_FILE = "monitoring_config.json"


def load_configs(path: Path) -> tuple[MonitoringConfig, ...]:
    """Read the configurations of all monitored models.

    Args:
        path: a configuration file, beside which a folder `monitoring_configs` may hold more; or a
            folder of configuration files.

    Returns:
        The configurations, the named file's first, then by file name. A file of a folder gives
        its name as `asset_prefix` where it sets none, unless it is called `monitoring_config.json`.

    Raises:
        ConfigError: a file is missing, unreadable or wrong, a folder holds none, or two models
            claim the same name; lists every fault of every file.
    """
    files = config_files(path)
    if not files:
        problem = "holds no configuration"
        fix = "put a .json file into it for each monitored model"
        raise ConfigError(str(path), [ConfigFault("(folder)", str(path), problem, fix)])
    configs: list[MonitoringConfig] = []
    errors: list[ConfigError] = []
    for file in files:
        try:
            configs.append(_with_prefix(load_config(file), file, is_named=file == path))
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise _joined(errors)
    faults = models_that_disagree([(file.name, c) for file, c in zip(files, configs, strict=True)])
    if faults:
        raise ConfigError(" and ".join(str(file) for file in files), faults)
    return tuple(configs)


def config_files(path: Path) -> list[Path]:
    """Find the configuration files of all monitored models.

    Args:
        path: as in `load_configs`.

    Returns:
        The files; a named file also if it does not exist.
    """
    if path.is_dir():
        files = _json_files(path)
        return sorted(files, key=lambda file: (file.name != FIRST_MODEL_FILE, file.name))
    return [path, *_json_files(path.parent / MODELS_FOLDER)]


def _json_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.glob("*.json")
        if not file.name.endswith(".schema.json") and not file.name.startswith(".")
    )


def _with_prefix(config: MonitoringConfig, file: Path, *, is_named: bool) -> MonitoringConfig:
    if config.asset_prefix is not None or is_named or file.name == FIRST_MODEL_FILE:
        return config
    prefix = re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", prefix):
        problem = f"is made from the file's name and gives {prefix!r}, which is no prefix of assets"
        fix = "set asset_prefix, or give the file a name such as transak-i2.json"
        raise ConfigError(str(file), [ConfigFault("asset_prefix", MISSING, problem, fix)])
    return config.model_copy(update={"asset_prefix": prefix})


def _joined(errors: Sequence[ConfigError]) -> ConfigError:
    if len(errors) == 1:
        return errors[0]
    faults = [
        ConfigFault(f"{error.source}: {fault.path}", fault.value, fault.problem, fault.fix)
        for error in errors
        for fault in error.faults
    ]
    return ConfigError("the configuration", faults)
