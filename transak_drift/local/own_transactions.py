"""The user's own transactions, as the configuration names them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.file_transactions import FileTransactions


def own_transactions(config: MonitoringConfig) -> FileTransactions:
    """Open the files that `transactions` names.

    Args:
        config: the monitored model, with `transactions` set.

    Returns:
        The source.

    Raises:
        TransactionsError: nothing is there, or it is laid out in no known way.
    """
    assert config.transactions is not None
    return FileTransactions(
        config.transactions,
        date_column=config.date_column,
        required_columns=tuple(config.drift_thresholds),
        csv_format=config.csv,
    )


def check_transactions(config: MonitoringConfig) -> str:
    """Read the days and, as a sample, the baseline or the first day.

    Args:
        config: the monitored model, with `transactions` set.

    Returns:
        What there is, for people.

    Raises:
        DatasetError: the data cannot be read or measured as configured.
    """
    source = own_transactions(config)
    days = source.days()
    if not days:
        raise DatasetError(f"{config.transactions} has no rows", "name data with transactions")
    with TemporaryDirectory() as directory:
        sample = Path(directory) / "sample.parquet"
        if source.write_baseline(sample) is None:
            source.write_day(days[0], sample)
        found = scan_statistics([sample], monitored_kinds(config), csv_format=config.csv)
    kinds = ", ".join(f"{name} {item.kind}" for name, item in found.features.items())
    return f"{len(days)} day(s), {days[0]} to {days[-1]}; {kinds}"


def monitored_kinds(config: MonitoringConfig) -> dict[str, FeatureKind | None]:
    """Return how each monitored feature is measured; None where the baseline decides."""
    kinds = {feature: config.feature_type(feature) for feature in config.drift_thresholds}
    return {feature: FeatureKind(kind) if kind else None for feature, kind in kinds.items()}
