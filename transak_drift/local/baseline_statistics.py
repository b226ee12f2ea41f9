"""The stored statistics of a baseline dataset, so that a run scans only its new data.

A file is a gzip stream (RFC 1952), whose checksum tells a damaged file, of two lines of JSON: the
configuration that the statistics were computed with, and what `DatasetStatistics.to_json` writes.
It carries no time, so the same statistics give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transak_drift.config.csv_format import CsvFormat
from transak_drift.drift.feature_statistics import (
    DatasetStatistics,
    FeatureKind,
    StatisticsFormatError,
)
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.dataset_statistics import scan_statistics


class BaselineStatisticsError(ValueError):
    """A file of baseline statistics that is missing or damaged; the message names the fix."""


def baseline_statistics(
    path: Path,
    features: Mapping[str, FeatureKind | None],
    csv_format: CsvFormat,
    find_rows: Callable[[], Sequence[Path]],
) -> DatasetStatistics:
    """Return the statistics of a baseline, computed once for each configuration of it.

    Args:
        path: where they are stored; written where they are missing, damaged, or were computed for
            other features, declared kinds or another form of CSV.
        features: the monitored features, and how each is declared to be measured; the column
            decides where it is None.
        csv_format: the form of CSV files.
        find_rows: returns the baseline's files.

    Returns:
        The statistics; how each feature is measured is in them.

    Raises:
        DatasetError: the rows cannot be measured in that way.
        OSError: the file cannot be written.
    """
    configuration = json.dumps({"features": features, "csv": csv_format.model_dump()})
    try:
        stored, statistics = _read(path)
        if stored == configuration:
            return statistics
    except BaselineStatisticsError:
        # The rows are kept, so that nothing is lost.
        pass
    statistics = scan_statistics(find_rows(), features, csv_format=csv_format)
    save_statistics(path, statistics, configuration)
    return statistics


def save_statistics(path: Path, statistics: DatasetStatistics, configuration: str = "{}") -> None:
    """Store statistics durably: the file has either its old content or all of the new one.

    Args:
        path: the file; replaced where it exists, its directory made where missing.
        statistics: the statistics, stored without loss.
        configuration: what they were computed with, JSON in one line.

    Raises:
        OSError: the file cannot be written.
    """
    content = f"{configuration}\n{statistics.to_json()}"
    with replace_file(path) as temporary:
        temporary.write_bytes(gzip.compress(content.encode(), mtime=0))


def load_statistics(path: Path) -> DatasetStatistics:
    """Read what `save_statistics` stored.

    Args:
        path: the file.

    Returns:
        The statistics, equal to those stored.

    Raises:
        BaselineStatisticsError: the file is missing, unreadable, damaged, or of another format.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[str, DatasetStatistics]:
    fix = "scan the baseline dataset again to write it"
    try:
        configuration, _, text = gzip.decompress(path.read_bytes()).decode().partition("\n")
        return configuration, DatasetStatistics.from_json(text)
    except FileNotFoundError:
        raise BaselineStatisticsError(f"{path} does not exist; {fix}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BaselineStatisticsError(f"{path} is damaged ({error}); {fix}") from error
    except StatisticsFormatError as error:
        raise BaselineStatisticsError(
            f"{path} holds no dataset statistics of this version ({error}); {fix}"
        ) from error
    except OSError as error:
        raise BaselineStatisticsError(
            f"{path} cannot be read ({error.strerror}); make it readable, or {fix}"
        ) from error
