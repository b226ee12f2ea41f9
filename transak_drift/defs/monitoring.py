"""Monitoring of one model: each day's data, its monitoring run and its drift report.

Not here: training (`training`), the reports of all days together (`history`), and what becomes of
drift (`drift_message_sensor`).
"""

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.keys import Kinds, ModelNames, check_names
from transak_drift.defs.metadata import as_failure, table
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.defs.recorded_reports import (
    check_evaluations,
    check_result,
    read_drift_history,
    report_metadata,
)
from transak_drift.platform import AppliedModelMonitor, Dataset


def monitoring_definitions(config: MonitoringConfig, kinds: Kinds) -> dg.Definitions:
    """Build the daily assets of a model, the jobs over them, and the schedule."""
    names = ModelNames.of(config)
    start = datetime.combine(config.start_date, time(), tzinfo=UTC)
    daily = dg.DailyPartitionsDefinition(start_date=start)
    data = names.grouped(keys.DATA_GROUP, kinds)
    monitoring = names.grouped(keys.MONITORING_GROUP, kinds)

    @dg.asset(
        key=names.asset(keys.TRANSACTIONS),
        partitions_def=daily,
        **data,
        description=(
            "The day's bank transactions: your own Parquet or CSV where `transactions` is set, "
            "otherwise synthetic Swiss and Austrian transactions from a seeded generator."
        ),
    )
    def transactions(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            landed = platform.open(config).land_transactions(config, _day_of(context))
        return dg.MaterializeResult(metadata=_dataset_metadata(landed))

    @dg.asset(
        key=names.asset(keys.PREDICTIONS),
        deps=[names.asset(keys.TRANSACTIONS), names.asset(keys.REGISTERED_MODEL)],
        partitions_def=daily,
        **data,
        description="The day's transactions with the category that the present model predicts.",
    )
    def predictions(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            predicted = platform.open(config).predict(config, _day_of(context))
        if predicted.model_version is None:
            context.log.warning(
                f"no model could be trained without the label column {config.label_column!r}: the "
                "transactions are monitored without predictions"
            )
        return dg.MaterializeResult(
            metadata={
                **_dataset_metadata(predicted.dataset),
                "model version": predicted.model_version or "none",
                "categories": table(
                    ("category", "transactions"), list(predicted.category_counts.items())
                ),
            }
        )

    @dg.asset(
        key=names.asset(keys.MODEL_MONITOR),
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

    @dg.asset(
        key=names.asset(keys.MONITORING_RUN),
        deps=[names.asset(keys.PREDICTIONS), names.asset(keys.MODEL_MONITOR)],
        partitions_def=daily,
        **monitoring,
        description=(
            "Compares the day's transactions with the baseline. A feature above its threshold "
            "writes an anomaly log entry; the log sink passes it on to the trigger topic."
        ),
    )
    def monitoring_run(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> dg.MaterializeResult:
        with as_failure():
            run = platform.open(config).start_monitoring_run(config, _day_of(context))
        context.log.info(f"started {run.job_name}")
        metadata = {keys.JOB_NAME_METADATA: run.job_name}
        if run.message_id is not None:
            metadata["drift message"] = run.message_id
            context.log.warning(f"drift: message {run.message_id} published")
        return dg.MaterializeResult(metadata=metadata)

    # Of a job that still runs neither report nor checks are made: only a subsettable asset may
    # leave both out.
    @dg.multi_asset(
        name=names.name(keys.DRIFT_REPORT),
        specs=[
            dg.AssetSpec(
                names.asset(keys.DRIFT_REPORT),
                deps=[names.asset(keys.MONITORING_RUN)],
                **monitoring,
                skippable=True,
                description=(
                    "Distance, threshold and verdict of each feature, and which values changed "
                    "most. Where the monitoring job still runs, the report follows when it ends."
                ),
            )
        ],
        partitions_def=daily,
        can_subset=True,
        check_specs=_check_specs(config, daily),
    )
    def drift_report(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckEvaluation]:
        if names.asset(keys.DRIFT_REPORT) not in context.selected_asset_keys:
            yield from _evaluate_recorded(context, config)
            return
        with as_failure():
            job_name = _started_job(context, names)
            result = platform.open(config).monitoring_result(config, job_name)
        if result is None:
            context.log.info(
                f"{job_name} still runs; the report of {context.partition_key} follows when it ends"
            )
            return
        # In one line: each line is a write to Dagster's storage, which a backfill waits for.
        context.log.info(", ".join(feature.summary() for feature in result.features))
        yield dg.MaterializeResult(
            metadata=report_metadata(config, platform, result),
            check_results=[
                check_result(config, feature)
                for feature in result.features
                if feature.feature in config.drift_thresholds
            ],
        )

    # Not computed here: the drift message sensor observes it.
    drift_event = dg.AssetSpec(
        names.asset(keys.DRIFT_EVENT),
        deps=[names.asset(keys.DRIFT_REPORT)],
        **names.grouped(keys.MONITORING_GROUP, {keys.MONITORING_GROUP: {"googlecloud", "pubsub"}}),
        description=(
            "Drift that a monitoring job found, as it arrives on the trigger subscription. Each "
            "observation says what became of it: training requested, held (and why), superseded, "
            "not drift, duplicate or dead-lettered (and why)."
        ),
    )
    daily_assets = [transactions, predictions, monitoring_run, drift_report]
    daily_job = dg.define_asset_job(
        names.name(keys.DAILY_MONITORING_JOB),
        selection=daily_assets,
        description="Predicts and monitors one day.",
    )
    prepare_job = dg.define_asset_job(
        names.name(keys.PREPARE_JOB),
        selection=[names.asset(keys.REGISTERED_MODEL), names.asset(keys.MODEL_MONITOR)],
        description="Finds the registered model and applies the monitoring configuration.",
    )
    # Each day once it is over, at 03:00 UTC.
    schedule = dg.build_schedule_from_partitioned_job(
        daily_job,
        name=names.name("daily_monitoring_schedule"),
        hour_of_day=3,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Monitors each new day.",
    )
    return dg.Definitions(
        assets=[
            transactions,
            predictions,
            model_monitor,
            monitoring_run,
            drift_report,
            drift_event,
        ],
        jobs=[daily_job, prepare_job],
        schedules=[schedule],
    )


def _day_of(context: dg.AssetExecutionContext) -> date:
    return date.fromisoformat(context.partition_key)


def _check_specs(
    config: MonitoringConfig, daily: dg.DailyPartitionsDefinition
) -> list[dg.AssetCheckSpec]:
    names = check_names(config.drift_thresholds)
    with warnings.catch_warnings():
        # Of one partition for each day, so that a later quiet day does not hide a drifted one.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name=names[feature],
                asset=ModelNames.of(config).asset(keys.DRIFT_REPORT),
                description=f"The distance of {feature} is at most {threshold:g}.",
                partitions_def=daily,
            )
            for feature, threshold in config.drift_thresholds.items()
        ]


def _evaluate_recorded(
    context: dg.AssetExecutionContext, config: MonitoringConfig
) -> Iterator[dg.AssetCheckEvaluation]:
    """Evaluate the checks of every reported day by the present thresholds.

    "Execute all" in the UI starts the checks without the asset and without a day.
    """
    history = read_drift_history(context.instance, ModelNames.of(config))
    selected = {key.name for key in context.selected_asset_check_keys}
    for day in history.days:
        features = [
            feature.model_copy(update={"threshold": config.drift_thresholds[feature.feature]})
            for feature in day.result.features
            if feature.feature in config.drift_thresholds
        ]
        for evaluation in check_evaluations(config, features, str(day.day)):
            if evaluation.check_name in selected:
                yield evaluation
    context.log.info(f"{len(history.days)} day(s) with a report were evaluated again")


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
        "thresholds": table(("feature", "threshold"), list(config.drift_thresholds.items())),
        "log anomalies": config.log_anomalies,
        "notification channels": len(config.notification_channels),
        "mailed addresses": len(config.user_emails),
    }


def _setting(value: object) -> str:
    return "-" if value is None else str(value)


def _started_job(context: dg.AssetExecutionContext, names: ModelNames) -> str:
    run = names.asset(keys.MONITORING_RUN)
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=run, asset_partitions=[context.partition_key]), limit=1
    ).records
    materialization = records[0].asset_materialization if records else None
    if materialization is None:
        raise dg.Failure(
            description=(
                f"no monitoring run of {context.partition_key} is recorded; materialize "
                f"{run.to_user_string()} for that day first"
            ),
            allow_retries=False,
        )
    return str(materialization.metadata[keys.JOB_NAME_METADATA].value)
