"""The versions of one model: trained on what and for which drift, promoted or not, and why."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import Kinds, ModelNames
from transak_drift.defs.metadata import page_metadata, table
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.recorded_reports import read_drift_history
from transak_drift.defs.rollbacks import read_rollback
from transak_drift.drift.drift_history import DriftHistory, RecordedWindow
from transak_drift.reports.pages import model_history_page
from transak_drift.training.model_history import RecordedVersion

MAX_VERSIONS = 60
_COLUMNS = (
    "version",
    "recorded",
    "trained_on",
    "trained_for",
    "outcome",
    "reason",
    "drift_before",
    "drift_after",
)


def model_history_asset(config: MonitoringConfig, kinds: Kinds) -> dg.AssetsDefinition:
    """Build the history of a model's versions; it is refreshed with the drift history."""
    names = ModelNames.of(config)

    @dg.asset(
        key=names.asset(keys.MODEL_HISTORY),
        deps=[names.asset(keys.TRAINED_MODEL), names.asset(keys.DRIFT_REPORT)],
        **names.grouped(keys.TRAINING_GROUP, kinds),
        description=(
            "The versions of the model: trained on what, for which drift event, promoted or not "
            "and why, drift before and after. Refreshed by itself after each training and report."
        ),
    )
    def model_history(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        versions = read_model_history(context.instance, names)
        page = model_history_page(config.model_name, versions, MAX_VERSIONS)
        rows = [tuple(getattr(item, name) for name in _COLUMNS) for item in versions]
        labels = [name.replace("_", " ") for name in _COLUMNS]
        return dg.MaterializeResult(
            metadata={
                "versions": table(labels, rows),
                **page_metadata(lambda: platform.store_model(config, keys.HISTORY_PAGE, page)),
            }
        )

    return model_history


def read_model_history(instance: dg.DagsterInstance, names: ModelNames) -> list[RecordedVersion]:
    """Read the newest trainings and rollbacks of a model, newest first, of each version once."""
    history = read_drift_history(instance, names)
    found: list[tuple[float, RecordedVersion]] = []
    known: set[str] = set()
    for name in (keys.TRAINED_MODEL, keys.REGISTERED_MODEL):
        records = instance.fetch_materializations(names.asset(name), limit=MAX_VERSIONS).records
        # A training that is adopted later is recorded again: what it did itself is the oldest.
        for record in reversed(records):
            made = record.asset_materialization
            values = {} if made is None else {key: it.value for key, it in made.metadata.items()}
            is_training = name == keys.TRAINED_MODEL or values.get("created by this run")
            version = str(values.get("version"))
            if is_training and version not in known:
                known.add(version)
                found.append((record.timestamp, _version(values, record.timestamp, history)))
    found += _rollbacks(instance, names)
    newest = sorted(found, key=lambda item: item[0], reverse=True)
    return [version for _, version in newest[:MAX_VERSIONS]]


def _version(values: dict[str, Any], timestamp: float, history: DriftHistory) -> RecordedVersion:
    trained_on, last_day = "", str(values.get(keys.LAST_DAY_METADATA, ""))
    before = after = ""
    if last_day:
        last = date.fromisoformat(last_day)
        trained_on = f"{values.get('first day')} to {last_day}"
        before = next((_drift(i) for i in history.windows if i.window.last_day == last), "")
        after = next((_drift(i) for i in history.windows if i.window.first_day > last), "")
    page = values.get(keys.PAGE_METADATA)
    return RecordedVersion(
        version=str(values.get("version")),
        recorded=f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M}",
        trained_on=trained_on,
        trained_for=str(values.get("drift event", "")),
        outcome="promoted" if values.get("promoted", True) else "not promoted",
        reason=str(values.get("reason", values.get("detail", ""))),
        drift_before=before,
        drift_after=after,
        page=str(page) if page and not str(page).startswith("not written") else None,
    )


def _drift(recorded: RecordedWindow) -> str:
    found = (
        f"{item.feature} {item.distance:.4f}{' (drift)' if item.drifted else ''}"
        for item in recorded.result.features
        if item.distance is not None
    )
    return f"{recorded.window.key}: {', '.join(found) or 'no data'}"


def _rollbacks(
    instance: dg.DagsterInstance, names: ModelNames
) -> Iterator[tuple[float, RecordedVersion]]:
    key = names.asset(keys.REGISTERED_MODEL)
    for record in instance.fetch_observations(key, limit=MAX_VERSIONS).records:
        rollback = read_rollback(record)
        if rollback is not None:
            yield (
                record.timestamp,
                RecordedVersion(
                    version=rollback.champion_after,
                    recorded=f"{rollback.at:%Y-%m-%d %H:%M}",
                    trained_on="",
                    trained_for="",
                    outcome="brought back",
                    reason=rollback.summary(),
                ),
            )
