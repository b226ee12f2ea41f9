"""Monitoring of one model: each window's data, its monitoring run and its drift report.

Not here: training (`training`), the reports of all windows together (`history`), and what becomes
of drift (`drift_message_sensor`).
"""

import warnings
from collections.abc import Iterator
from datetime import datetime, time
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.defs import keys
from transak_drift.defs.data_quality_checks import (
    compared_with,
    quality_check_specs,
    quality_evaluations,
    with_usual_rows,
)
from transak_drift.defs.freshness import monitor_freshness, report_freshness
from transak_drift.defs.keys import Kinds, ModelNames, check_names
from transak_drift.defs.metadata import as_failure, newest_materialization, table
from transak_drift.defs.monitoring_schedule import build_apply_schedule, build_monitoring_schedule
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.recorded_reports import (
    check_evaluations,
    read_drift_history,
    report_metadata,
)
from transak_drift.defs.recorded_windows import (
    WINDOWS_METADATA,
    describe_windows,
    require_same_windows,
)
from transak_drift.drift.monitoring_result import empty_result
from transak_drift.platform import AppliedModelMonitor, Dataset, PlatformError

WindowEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation


def monitoring_definitions(config: MonitoringConfig, kinds: Kinds) -> dg.Definitions:
    """Build the partitioned assets of a model, the jobs over them, and the schedule."""
    names = ModelNames.of(config)
    partitions = _partitions(config)
    data = names.grouped(keys.DATA_GROUP, kinds)
    monitoring = names.grouped(keys.MONITORING_GROUP, kinds)

    @dg.asset(
        key=names.asset(keys.MODEL_MONITOR),
        freshness_policy=monitor_freshness(),
        deps=[names.asset(keys.REGISTERED_MODEL)],
        **monitoring,
        description=(
            "The monitoring configuration as applied. Materializing it twice changes nothing; "
            "after a change of the file it updates the ModelMonitor and shows the difference."
        ),
    )
    def model_monitor(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            applied = platform.open(config).apply_model_monitor(config)
        metadata = _monitor_metadata(config, applied)
        context.log.info(f"{applied.resource_name}: {metadata['action']}")
        return dg.MaterializeResult(metadata=metadata)

    specs = [
        dg.AssetSpec(
            names.asset(keys.TRANSACTIONS),
            **data,
            description=(
                "The window's bank transactions: your own Parquet or CSV where `transactions` is "
                "set, otherwise synthetic Swiss and Austrian transactions from a seeded generator."
            ),
        ),
        dg.AssetSpec(
            names.asset(keys.PREDICTIONS),
            deps=[names.asset(keys.TRANSACTIONS), names.asset(keys.REGISTERED_MODEL)],
            **data,
            description=(
                "The window's transactions with the category that the present model predicts."
            ),
        ),
        dg.AssetSpec(
            names.asset(keys.MONITORING_RUN),
            deps=[names.asset(keys.PREDICTIONS), names.asset(keys.MODEL_MONITOR)],
            **monitoring,
            description=(
                "Compares the window's transactions with the baseline. A feature above its "
                "threshold writes an anomaly log entry; the log sink passes it on to the trigger "
                "topic."
            ),
        ),
        dg.AssetSpec(
            names.asset(keys.DRIFT_REPORT),
            deps=[names.asset(keys.MONITORING_RUN)],
            freshness_policy=report_freshness(config),
            **monitoring,
            description=(
                "Distance, threshold and verdict of each feature, and which values changed most. "
                "Where the monitoring job still runs, the report follows when it ends."
            ),
        ),
    ]

    # One step for all that belongs to a window, and one run for many: each further step or run
    # costs more than the work of a window.
    @dg.multi_asset(
        name=names.name(keys.MONITOR_OPERATION),
        specs=[spec.replace_attributes(skippable=True) for spec in specs],
        partitions_def=partitions,
        can_subset=True,
        check_specs=[
            *_check_specs(config, partitions),
            *quality_check_specs(config, partitions),
        ],
        backfill_policy=dg.BackfillPolicy.multi_run(keys.MAX_WINDOWS_PER_RUN),
    )
    def monitored_windows(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> Iterator[WindowEvent]:
        with as_failure():
            require_same_windows(context.instance, config)
        if not context.selected_asset_keys:
            yield from _evaluate_recorded(context, config)
            return
        failures: dict[str, Exception] = {}
        # Of the windows before: a run of several reads each once.
        rows: dict[str, int] = {}
        for key in context.partition_keys:
            try:
                yield from _monitor(context, config, platform, config.windows.parse(key), rows)
            except Exception as error:
                # A window that fails stops no other.
                failures[key] = error
                context.log.error(f"{key}: {_reason(error)}")
        if failures:
            reasons = {key: _reason(error) for key, error in failures.items()}
            single = next(iter(reasons.values())) if len(context.partition_keys) == 1 else None
            raise dg.Failure(
                description=single or "\n".join(f"{key}: {text}" for key, text in reasons.items()),
                metadata=reasons,
                allow_retries=False,
            ) from next(iter(failures.values()))

    # Not computed here: the drift message sensor observes it.
    drift_event = dg.AssetSpec(
        names.asset(keys.DRIFT_EVENT),
        deps=[names.asset(keys.DRIFT_REPORT)],
        **names.grouped(keys.MONITORING_GROUP, {keys.MONITORING_GROUP: {"googlecloud", "pubsub"}}),
        description=(
            "Drift that a monitoring job found, as it arrives on the trigger subscription. Each "
            "observation says what became of it: awaiting approval (and how to decide), approved "
            "or declined (by whom and why), awaiting labels (and which rows lack them), training "
            "requested, held (and why), superseded, not drift, duplicate or dead-lettered (and "
            "why)."
        ),
    )
    window_job = dg.define_asset_job(
        keys.window_job(config),
        selection=[spec.key for spec in specs],
        description=f"Predicts and monitors one {config.monitoring_window}.",
    )
    prepare_job = dg.define_asset_job(
        names.name(keys.PREPARE_JOB),
        selection=[names.asset(keys.REGISTERED_MODEL), names.asset(keys.MODEL_MONITOR)],
        description="Finds the registered model and applies the monitoring configuration.",
    )
    apply_job = dg.define_asset_job(
        names.name(keys.APPLY_JOB),
        selection=[model_monitor],
        description="Applies the monitoring configuration again.",
    )
    return dg.Definitions(
        assets=[model_monitor, monitored_windows, drift_event],
        jobs=[window_job, prepare_job, apply_job],
        schedules=[build_monitoring_schedule(config), build_apply_schedule(config)],
    )


def _monitor(
    context: dg.AssetExecutionContext,
    config: MonitoringConfig,
    resource: PlatformResource,
    window: Window,
    rows: dict[str, int],
) -> Iterator[WindowEvent]:
    """Make what is selected of one window, in order; known rows of others are added to."""
    names, selected = ModelNames.of(config), context.selected_asset_keys
    platform, partition = resource.open(config), window.key

    def materialized(name: str, metadata: dict[str, Any]) -> dg.AssetMaterialization:
        return dg.AssetMaterialization(names.asset(name), partition=partition, metadata=metadata)

    if names.asset(keys.TRANSACTIONS) in selected:
        landed = platform.land_transactions(config, window)
        yield materialized(keys.TRANSACTIONS, _dataset_metadata(landed))
    if names.asset(keys.PREDICTIONS) in selected:
        predicted = platform.predict(config, window)
        if predicted.model_version is None:
            context.log.warning(
                f"no model could be trained without the label column {config.label_column!r}: the "
                "transactions are monitored without predictions"
            )
        counts = list(predicted.category_counts.items())
        metadata = {
            **_dataset_metadata(predicted.dataset),
            "model version": predicted.model_version or "none",
            "categories": table(("category", "transactions"), counts),
        }
        yield materialized(keys.PREDICTIONS, metadata)
    if names.asset(keys.MONITORING_RUN) in selected:
        run = platform.start_monitoring_run(config, window)
        started = {
            keys.JOB_NAME_METADATA: run.job_name,
            WINDOWS_METADATA: describe_windows(config.windows),
        }
        if run.message_id is not None:
            started[keys.MESSAGE_METADATA] = run.message_id
        yield materialized(keys.MONITORING_RUN, started)
    if names.asset(keys.DRIFT_REPORT) in selected:
        job_name = _started_job(context.instance, names, partition)
        result = empty_result(config, window)
        if job_name:
            result = platform.monitoring_result(config, job_name)
        if result is None:
            context.log.info(f"{job_name} runs; the report of {window} follows when it ends")
            return
        context.log.info(
            f"{partition}: " + ", ".join(feature.summary() for feature in result.features)
        )
        result = with_usual_rows(context.instance, config, result, rows)
        yield materialized(keys.DRIFT_REPORT, report_metadata(config, resource, result))
        yield from check_evaluations(config, result.features, partition)
        yield from quality_evaluations(config, result)


def _reason(error: Exception) -> str:
    known = isinstance(error, PlatformError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _partitions(config: MonitoringConfig) -> dg.TimeWindowPartitionsDefinition:
    first = config.windows.first_from(config.start_date)
    start, zone = datetime.combine(first.first_day, time()), config.time_zone
    if config.monitoring_window == "month":
        return dg.MonthlyPartitionsDefinition(start, timezone=zone, fmt="%Y-%m")
    if config.monitoring_window == "week":
        # From Monday on.
        return dg.WeeklyPartitionsDefinition(start, day_offset=1, timezone=zone)
    return dg.DailyPartitionsDefinition(start, timezone=zone)


def _check_specs(
    config: MonitoringConfig, partitions: dg.TimeWindowPartitionsDefinition
) -> list[dg.AssetCheckSpec]:
    names = check_names(config.thresholds)
    with warnings.catch_warnings():
        # Partitioned, so that a later quiet window does not hide one that drifted.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name=names[feature],
                asset=ModelNames.of(config).asset(keys.DRIFT_REPORT),
                description=f"The distance of the {config.objective(feature)} {feature} is at most "
                f"{threshold:g}.",
                partitions_def=partitions,
            )
            for feature, threshold in config.thresholds.items()
        ]


def _evaluate_recorded(
    context: dg.AssetExecutionContext, config: MonitoringConfig
) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluate the checks of every reported window by the present thresholds.

    "Execute all" in the UI starts the checks without the asset and without a partition.
    """
    history = read_drift_history(context.instance, ModelNames.of(config))
    selected = {key.name for key in context.selected_asset_check_keys}
    rows = {it.window.key: it.result.target_rows or 0 for it in history.windows}
    for recorded in history.windows:
        result = recorded.result.judged(config.retrain_policy, config.thresholds)
        result = compared_with(config, result, rows)
        for evaluation in (
            *check_evaluations(config, result.features, recorded.window.key),
            *quality_evaluations(config, result),
        ):
            if evaluation.check_name in selected:
                yield evaluation
    context.log.info(f"{len(history.windows)} window(s) with a report were evaluated again")


def _dataset_metadata(dataset: Dataset) -> dict[str, Any]:
    metadata: dict[str, Any] = {"location": dg.MetadataValue.path(dataset.uri)}
    if dataset.rows is not None:
        metadata["dagster/row_count"] = dataset.rows
    return metadata


def _monitor_metadata(config: MonitoringConfig, applied: AppliedModelMonitor) -> dict[str, Any]:
    changed = "updated" if applied.changes else "unchanged"
    return {
        "resource name": applied.resource_name,
        "action": "created" if applied.created else changed,
        "changed settings": len(applied.changes),
        "changes": table(
            ("setting", "before", "after"),
            [
                (change.path, _setting(change.before), _setting(change.after))
                for change in applied.changes
            ],
        ),
        "thresholds": table(("feature", "threshold"), list(config.thresholds.items())),
        "log anomalies": config.log_anomalies,
        "notification channels": len(config.notification_channels),
        "mailed addresses": len(config.user_emails),
    }


def _setting(value: object) -> str:
    return "-" if value is None else str(value)


def _started_job(instance: dg.DagsterInstance, names: ModelNames, partition: str) -> str:
    run = names.asset(keys.MONITORING_RUN)
    materialization = newest_materialization(instance, run, partition)
    if materialization is None:
        raise PlatformError(
            f"no monitoring run of {partition} is recorded; materialize {run.to_user_string()} "
            "for that window first"
        )
    return str(materialization.metadata[keys.JOB_NAME_METADATA].value)
