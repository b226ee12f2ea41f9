"""Where the files of each day are, in the user's own data."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from transak_drift.local.transaction_errors import TransactionsError

SUFFIXES = (".parquet", ".csv", ".csv.gz")
DATE_PLACEHOLDER = "{date}"

_ISO_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
_ANY_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_WAYS_OUT = (
    "name a Parquet or CSV file with a date column, a path with {date} (one file for each day), "
    "or a directory with files YYYY-MM-DD.parquet, YYYY-MM-DD.csv or date=YYYY-MM-DD/*.parquet"
)


@dataclass(frozen=True, slots=True)
class DailyFiles:
    """Data that is split by day.

    Args:
        files: each day's files.
        baseline: files of a baseline beside them, or None.
    """

    files: dict[date, tuple[Path, ...]]
    baseline: tuple[Path, ...] | None


@dataclass(frozen=True, slots=True)
class UndividedFiles:
    """Data in which a date column tells the day.

    Args:
        files: the files, at least one.
    """

    files: tuple[Path, ...]


def find_files(setting: str, location: str) -> DailyFiles | UndividedFiles:
    """Find the files that a location names.

    Args:
        setting: name of the setting, for errors.
        location: a path with `{date}`, a directory of days, or a file or glob.

    Returns:
        The files by day, or those to look for days in.

    Raises:
        TransactionsError: nothing is there, the files are of another kind, or a day has two
            sources.
    """
    if "://" in location:
        raise TransactionsError(
            setting, location, "is an address, not a path", "copy the files to this machine"
        )
    expanded = str(Path(location).expanduser())
    if DATE_PLACEHOLDER in expanded:
        return DailyFiles(_files_by_pattern(setting, location, expanded), None)
    if Path(expanded).is_dir():
        return _files_of_directory(setting, location, Path(expanded))
    files = _matching_files(expanded)
    if not files:
        raise TransactionsError(setting, location, "does not exist", _WAYS_OUT)
    for path in files:
        _require_known_suffix(setting, location, path)
    return UndividedFiles(files)


def _matching_files(pattern: str) -> tuple[Path, ...]:
    # A name may contain characters that a glob would interpret: what exists goes first.
    if Path(pattern).is_file():
        return (Path(pattern),)
    return tuple(path for path in map(Path, sorted(_glob(pattern))) if path.is_file())


def _glob(pattern: str) -> list[str]:
    # Path.glob takes no absolute pattern.
    return glob.glob(pattern, recursive=True)  # noqa: PTH207


def _require_known_suffix(setting: str, location: str, path: Path) -> None:
    if not path.name.endswith(SUFFIXES):
        raise TransactionsError(
            setting,
            location,
            f"names {path}, which is neither Parquet nor CSV by its name",
            f"use files that end in {', '.join(SUFFIXES)}",
        )


def _files_by_pattern(setting: str, location: str, pattern: str) -> dict[date, tuple[Path, ...]]:
    fixed_parts = pattern.split(DATE_PLACEHOLDER)
    names: set[str] = set()
    for parts in (fixed_parts, [glob.escape(part) for part in fixed_parts]):
        names.update(_glob(_ANY_DATE.join(parts)))
    days = {day for name in names for text in _ISO_DATE.findall(name) if (day := _as_date(text))}
    found = {
        day: _matching_files(pattern.replace(DATE_PLACEHOLDER, day.isoformat()))
        for day in sorted(days)
    }
    for files in found.values():
        for path in files:
            _require_known_suffix(setting, location, path)
    return {day: files for day, files in found.items() if files}


def _as_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _files_of_directory(setting: str, location: str, directory: Path) -> DailyFiles:
    found: dict[date, list[tuple[Path, ...]]] = {}
    baselines: list[tuple[Path, ...]] = []
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            partition, _, text = path.name.partition("=")
            day = _as_date(text) if partition == "date" else None
            files = tuple(sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES)))
            if day and files:
                found.setdefault(day, []).append(files)
            continue
        suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
        if suffix is None:
            continue
        stem = path.name.removesuffix(suffix)
        if stem == "baseline":
            baselines.append((path,))
        elif day := _as_date(stem):
            found.setdefault(day, []).append((path,))
    for name, sources in [(str(day), sources) for day, sources in found.items()] + [
        ("the baseline", baselines)
    ]:
        if len(sources) > 1:
            places = " and ".join(str(files[0]) for files in sources)
            raise TransactionsError(
                setting, location, f"has {name} twice: {places}", "keep one of them"
            )
    if not found:
        raise TransactionsError(
            setting, location, "is a directory without a file named by a day", _WAYS_OUT
        )
    return DailyFiles(
        {day: sources[0] for day, sources in sorted(found.items())},
        baselines[0] if baselines else None,
    )
