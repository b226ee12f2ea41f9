"""The stored statistics of a baseline dataset, so that a run scans only its new data.

A file is a gzip stream (RFC 1952), whose checksum tells a damaged file, of the JSON that
`DatasetStatistics.to_json` writes. It carries no time, so the same statistics give the same bytes.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from transak_drift.drift.feature_statistics import DatasetStatistics, StatisticsFormatError
from transak_drift.local.atomic_file import replace_file


class BaselineStatisticsError(ValueError):
    """A file of baseline statistics that is missing or damaged; the message names the fix."""


def save_statistics(path: Path, statistics: DatasetStatistics) -> None:
    """Store statistics durably: the file has either its old content or all of the new one.

    Args:
        path: the file; replaced where it exists, its directory made where missing.
        statistics: the statistics, stored without loss.

    Raises:
        OSError: the file cannot be written.
    """
    with replace_file(path) as temporary:
        temporary.write_bytes(gzip.compress(statistics.to_json().encode(), mtime=0))


def load_statistics(path: Path) -> DatasetStatistics:
    """Read what `save_statistics` stored.

    Args:
        path: the file.

    Returns:
        The statistics, equal to those stored.

    Raises:
        BaselineStatisticsError: the file is missing, unreadable, damaged, or of another format.
    """
    fix = "scan the baseline dataset again to write it anew"
    try:
        return DatasetStatistics.from_json(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise BaselineStatisticsError(f"{path} does not exist; {fix}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BaselineStatisticsError(f"{path} is damaged ({error}); {fix}") from error
    except StatisticsFormatError as error:
        raise BaselineStatisticsError(
            f"{path} holds no dataset statistics of this version ({error}); {fix}"
        ) from error
    except OSError as error:
        raise BaselineStatisticsError(
            f"{path} cannot be read ({error.strerror}); make it readable, or {fix}"
        ) from error
