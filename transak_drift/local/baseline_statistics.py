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
from functools import lru_cache
from pathlib import Path

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.feature_statistics import DatasetStatistics, FeatureKind
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.dataset_statistics import scan_statistics


def baseline_statistics(
    path: Path,
    features: Mapping[str, FeatureKind | None],
    csv_format: CsvFormat,
    find_rows: Callable[[], Sequence[Path]],
) -> DatasetStatistics:
    """Return the statistics of a baseline, computed once for each configuration of it.

    They are computed from the files of `find_rows` where none are stored, where the file is
    damaged, or where another feature, declared kind or form of CSV was configured.
    """
    configuration = json.dumps({"features": features, "csv": csv_format.model_dump()})
    try:
        found = path.stat()
        stored, statistics = _read_once(path, found.st_ino, found.st_mtime_ns, found.st_size)
        if stored == configuration:
            return statistics
    except (OSError, EOFError, zlib.error, ValueError):
        # Damaged or missing: the rows are kept, so that nothing is lost.
        pass
    statistics = scan_statistics(find_rows(), features, csv_format=csv_format)
    save_statistics(path, statistics, configuration)
    return statistics


def save_statistics(path: Path, statistics: DatasetStatistics, configuration: str = "{}") -> None:
    """Store statistics durably: the file has either its old content or all of the new one."""
    content = f"{configuration}\n{statistics.to_json()}"
    with replace_file(path) as temporary:
        temporary.write_bytes(gzip.compress(content.encode(), mtime=0))


def load_statistics(path: Path) -> DatasetStatistics:
    """Read what `save_statistics` stored; gzip, or ValueError, tells a damaged file."""
    return _read(path)[1]


@lru_cache(maxsize=4)
def _read_once(
    path: Path, _inode: int, _modified: int, _size: int
) -> tuple[str, DatasetStatistics]:
    """Read a file once in a process that monitors many days with the same baseline."""
    return _read(path)


def _read(path: Path) -> tuple[str, DatasetStatistics]:
    configuration, _, text = gzip.decompress(path.read_bytes()).decode().partition("\n")
    return configuration, DatasetStatistics.from_json(text)
