"""The user's own transactions, as the configuration names them."""

from __future__ import annotations

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.feature_statistics import FeatureKind
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


def monitored_kinds(config: MonitoringConfig) -> dict[str, FeatureKind | None]:
    """Return how each monitored feature is measured; None where the baseline decides."""
    kinds = {feature: config.feature_type(feature) for feature in config.drift_thresholds}
    return {feature: FeatureKind(kind) if kind else None for feature, kind in kinds.items()}
