"""Which windows a model's reports are of, so that those of another division never mix with them."""

from __future__ import annotations

import json
import shlex

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import WindowCalendar
from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.metadata import newest_materialization
from transak_drift.platform import PlatformError

WINDOWS_METADATA = "windows"
_PARTITIONED = (keys.DRIFT_REPORT, keys.MONITORING_RUN, keys.PREDICTIONS, keys.TRANSACTIONS)


def describe_windows(windows: WindowCalendar) -> str:
    """Write a division of time, for example `days of UTC`, as it is recorded."""
    return f"{windows.length}s of {windows.time_zone}"


def require_same_windows(instance: dg.DagsterInstance, config: MonitoringConfig) -> None:
    """Raise a `PlatformError` where what is recorded of the model is of other windows.

    Partition keys alone do not tell: that of a week is its Monday. Records of earlier versions, in
    which nothing says it, are of days of UTC.
    """
    names, configured = ModelNames.of(config), describe_windows(config.windows)
    for name in (keys.DRIFT_REPORT, keys.MONITORING_RUN):
        newest = newest_materialization(instance, names.asset(name))
        if newest is None:
            continue
        value = newest.metadata.get(WINDOWS_METADATA)
        recorded = str(value.value) if value else describe_windows(WindowCalendar())
        if recorded != configured:
            raise PlatformError(_refusal(instance, names, recorded, configured))


def _refusal(
    instance: dg.DagsterInstance, names: ModelNames, recorded: str, configured: str
) -> str:
    assets = [names.asset(name) for name in _PARTITIONED]
    words = [key.path[0] if len(key.path) == 1 else json.dumps(key.path) for key in assets]
    home = shlex.quote(instance.root_directory)
    return (
        f"{configured} are configured, but what is recorded is of {recorded}: set "
        "monitoring_window and time_zone back, or set another asset_prefix, under which the "
        "reports begin anew, or forget the recorded reports by "
        f"DAGSTER_HOME={home} dagster asset wipe --noprompt {shlex.join(words)}"
    )
