"""Asset: what each day's monitoring run found, with one asset check a feature."""

from collections.abc import Iterator, Set
from typing import Any

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.metadata import feature_table, table
from transak_drift.defs.names import (
    JOB_NAME_METADATA,
    OWNERS,
    PAGE_METADATA,
    ModelNames,
    check_names,
    partition_day,
)
from transak_drift.defs.platform_errors import as_failure
from transak_drift.defs.platform_resource import PlatformResource
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.platform import PlatformError
from transak_drift.reports.drift_chart import drift_chart_markdown
from transak_drift.reports.report_page import drift_report_page


def build_drift_report(
    config: MonitoringConfig, partitions: dg.DailyPartitionsDefinition, kinds: Set[str]
) -> dg.AssetsDefinition:
    """Build the asset and its checks.

    Args:
        config: the monitored model; each of its features gets a check.
        partitions: the monitored days.
        kinds: what the platform is made of, as shown in the UI.

    Returns:
        The asset definition.
    """
    names = ModelNames.of(config)
    checks = check_names(config.drift_thresholds)

    # Of a job that still runs neither report nor checks are made: only a subsettable asset may
    # leave both out.
    @dg.multi_asset(
        name=names.name("drift_report"),
        specs=[
            dg.AssetSpec(
                names.drift_report,
                deps=[names.monitoring_run],
                group_name=names.monitoring_group,
                kinds=set(kinds),
                owners=OWNERS,
                skippable=True,
                description=(
                    "Distance, threshold and verdict of each feature, and which values changed "
                    "most. Where the monitoring job still runs, the report follows when it ends."
                ),
            )
        ],
        partitions_def=partitions,
        can_subset=True,
        check_specs=[
            dg.AssetCheckSpec(
                name=checks[feature],
                asset=names.drift_report,
                description=f"The distance of {feature} is at most {threshold:g}.",
            )
            for feature, threshold in config.drift_thresholds.items()
        ],
    )
    def drift_report(
        context: dg.AssetExecutionContext, platform: PlatformResource
    ) -> Iterator[dg.MaterializeResult]:
        day = partition_day(context.partition_key)
        with as_failure():
            job_name = _started_job(context, names)
            result = platform.open(config).monitoring_result(config, job_name)
        if result is None:
            context.log.info(f"{job_name} still runs; its report for {day} follows when it ends")
            return
        for feature in result.features:
            context.log.info(f"{feature.feature}: {feature.distance} ({feature.verdict})")
        yield dg.MaterializeResult(
            metadata=report_metadata(config, platform, result),
            check_results=[check_result(config, feature) for feature in result.features],
        )

    return drift_report


def report_metadata(
    config: MonitoringConfig, platform: PlatformResource, result: MonitoringResult
) -> dict[str, Any]:
    """Return the metadata of a report, and store its page; the same on every platform.

    Args:
        config: the monitored model.
        platform: keeps the page.
        result: the monitoring run's result.

    Returns:
        Metadata by name: the verdict, a table, a picture, and each distance as a number, so that
        Dagster draws it over time.
    """
    drifted = [feature.feature for feature in result.drifted]
    metadata: dict[str, Any] = {
        "verdict": f"drift in {', '.join(drifted)}" if drifted else "no drift",
        "features": feature_table(result),
        "picture": dg.MetadataValue.md(drift_chart_markdown(result)),
        JOB_NAME_METADATA: result.job_name,
        "baseline": result.baseline_name,
        "baseline rows": result.baseline_rows,
        "target rows": result.target_rows,
    }
    page = _stored_page(config, platform, result)
    if page is not None:
        metadata[PAGE_METADATA] = page
    monitor_page = platform.monitor_page(config)
    if monitor_page is not None:
        metadata["model monitor"] = dg.MetadataValue.url(monitor_page)
    for name, address in platform.feature_pages(config, result).items():
        metadata[f"{name} in the console"] = dg.MetadataValue.url(address)
    if result.alerts:
        metadata["alerts"] = dg.MetadataValue.md("\n".join(f"- {text}" for text in result.alerts))
    for feature in result.features:
        metadata[f"{feature.feature} threshold"] = feature.threshold
        if feature.distance is not None:
            metadata[f"{feature.feature} distance"] = feature.distance
        metadata[f"{feature.feature} contributors"] = table(
            ("value", "before", "now", "change"),
            [
                (
                    item.value,
                    round(item.baseline_share, 6),
                    round(item.target_share, 6),
                    round(item.change, 6),
                )
                for item in feature.contributors
            ],
        )
    return metadata


def check_result(config: MonitoringConfig, feature: FeatureDrift) -> dg.AssetCheckResult:
    """Return the check of one feature.

    Args:
        config: the monitored model.
        feature: what was found of one of its features.

    Returns:
        Passed where the distance is at most the threshold. Drift is a warning, since the trigger
        handles it; a feature without data is an error, since a person has to.
    """
    if feature.distance is None:
        description = f"{feature.note}; look at the transactions of the day: nothing retrains this"
    elif feature.drifted:
        description = (
            f"{feature.distance:.4f} is above {feature.threshold:g}: the trigger decides on a "
            "training, see the asset drift_event"
        )
    else:
        description = f"{feature.distance:.4f} is at most {feature.threshold:g}: nothing to do"
    return dg.AssetCheckResult(
        asset_key=ModelNames.of(config).drift_report,
        check_name=check_names(config.drift_thresholds)[feature.feature],
        passed=feature.distance is not None and not feature.drifted,
        severity=dg.AssetCheckSeverity.ERROR
        if feature.distance is None
        else dg.AssetCheckSeverity.WARN,
        description=description,
        metadata={
            "threshold": feature.threshold,
            "metric": feature.metric,
            **({} if feature.distance is None else {"distance": feature.distance}),
        },
    )


def _stored_page(
    config: MonitoringConfig, platform: PlatformResource, result: MonitoringResult
) -> dg.MetadataValue | None:
    try:
        address = platform.store_report(config, result, drift_report_page(result))
    except PlatformError as error:
        # The result stands without its page.
        return dg.MetadataValue.text(f"not written: {error}")
    if address is None:
        return None
    is_address = address.startswith("https://")
    return dg.MetadataValue.url(address) if is_address else dg.MetadataValue.path(address)


def _started_job(context: dg.AssetExecutionContext, names: ModelNames) -> str:
    record = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=names.monitoring_run, asset_partitions=[context.partition_key]
        ),
        limit=1,
    ).records
    materialization = record[0].asset_materialization if record else None
    if materialization is None:
        raise dg.Failure(
            description=(
                f"no monitoring run of {context.partition_key} is recorded; materialize "
                f"{names.monitoring_run.to_user_string()} for that day first"
            ),
            allow_retries=False,
        )
    return str(materialization.metadata[JOB_NAME_METADATA].value)
