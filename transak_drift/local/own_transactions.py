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
    kinds = monitored_kinds(config)
    return FileTransactions(
        config.transactions,
        date_column=config.date_column,
        label_column=config.label_column,
        required_columns=tuple(kinds),
        numerical_columns=[n for n, kind in kinds.items() if kind == FeatureKind.NUMERICAL],
        undeclared_columns=[name for name, kind in kinds.items() if kind is None],
    )


def monitored_kinds(config: MonitoringConfig) -> dict[str, FeatureKind | None]:
    """Return how each monitored feature is measured; None where its column decides."""
    kinds: dict[str, FeatureKind | None] = {}
    for feature in config.drift_thresholds:
        declared = config.feature_type(feature)
        kinds[feature] = FeatureKind(declared) if declared else None
    return kinds
