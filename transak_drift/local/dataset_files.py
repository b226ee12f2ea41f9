"""The Parquet and CSV files that make up a dataset, or the days of one."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

SUFFIXES = (".parquet", ".csv", ".csv.gz")
DATE_PLACEHOLDER = "{date}"

_ISO_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
_ANY_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_KNOWN = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
_LAYOUTS = (
    "name a Parquet or CSV file with a date column, a path with {date} (one file for each day), "
    "or a directory with files YYYY-MM-DD.parquet, YYYY-MM-DD.csv or date=YYYY-MM-DD/*.parquet"
)


class DatasetError(ValueError):
    """A dataset that cannot be read or measured.

    Args:
        problem: what is wrong, with the file, the line and the value where they are known.
        fix: what to do.
    """

    def __init__(self, problem: str, fix: str) -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem}; fix: {fix}")


@dataclass(frozen=True, slots=True)
class DailyFiles:
    """Data that are split by day: each day's files, and those of a baseline beside them."""

    files: dict[date, tuple[Path, ...]]
    baseline: tuple[Path, ...] | None = None


@dataclass(frozen=True, slots=True)
class UndividedFiles:
    """Files, at least one, in which a date column gives the day."""

    files: tuple[Path, ...]


def find_files(sources: Iterable[Path | str]) -> tuple[Path, ...]:
    """Find the Parquet and CSV files of a dataset.

    Args:
        sources: files, directories (searched with all below them) and glob patterns, local ones.
            Files and directories whose names begin with `.` or `_` count only where named.

    Returns:
        The files, each once, in the order of the sources and sorted by name within each.

    Raises:
        DatasetError: a source does not exist, holds no such file, or is of another format.
    """
    found = tuple(dict.fromkeys(path for source in sources for path in _files_of(str(source))))
    if not found:
        raise DatasetError("the dataset names no source", "name a Parquet or CSV file")
    return found


def find_days(location: str) -> DailyFiles | UndividedFiles:
    """Find the files of transactions, by day where their names give it.

    Args:
        location: a path with `{date}`, a directory of days, or a file or glob.

    Returns:
        The files by day, or those to look for days in.

    Raises:
        DatasetError: nothing is there, the files are of another kind, or a day has two sources.
    """
    text = _local(location)
    if DATE_PLACEHOLDER in text:
        return DailyFiles(_files_by_pattern(text))
    if Path(text).is_dir():
        return _files_by_name(Path(text))
    return UndividedFiles(_files_of(text, missing_fix=_LAYOUTS))


def _local(location: str) -> str:
    if "://" in location:
        raise DatasetError(
            f"{location} is an address, not a path", "copy the files to this machine"
        )
    return str(Path(location).expanduser())


def _files_of(source: str, missing_fix: str = "correct the path") -> tuple[Path, ...]:
    text = _local(source)
    path = Path(text)
    if path.is_dir():
        files = [
            file for file in sorted(path.rglob("*")) if file.is_file() and _is_data(file, path)
        ]
        if not files:
            raise DatasetError(f"{source} has no {_KNOWN} file in it", "name another directory")
        return tuple(file.resolve() for file in files)
    # A name may contain characters that a glob would interpret: what exists goes first.
    if path.is_file():
        _require_known_suffix(path)
        return (path.resolve(),)
    matches = [match for match in _glob(text) if match.is_dir() or _has_known_suffix(match)]
    if matches:
        return tuple(file for match in matches for file in _files_of(str(match)))
    if others := _glob(text):
        _require_known_suffix(others[0])
    problem = f"no file matches {source}" if glob.has_magic(text) else f"{source} does not exist"
    raise DatasetError(problem, missing_fix)


def _glob(pattern: str) -> list[Path]:
    # Path.glob takes no absolute pattern.
    return [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207


def _has_known_suffix(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _is_data(file: Path, directory: Path) -> bool:
    """Leave out what systems write beside data: ._part-0.csv, _temporary/, _SUCCESS."""
    parts = file.relative_to(directory).parts
    return _has_known_suffix(file) and not any(part.startswith((".", "_")) for part in parts)


def _require_known_suffix(path: Path) -> None:
    if not _has_known_suffix(path):
        raise DatasetError(
            f"{path} is neither Parquet nor CSV by its name", f"name a {_KNOWN} file"
        )


def _files_by_pattern(pattern: str) -> dict[date, tuple[Path, ...]]:
    parts = pattern.split(DATE_PLACEHOLDER)
    names = {
        str(path)
        for fixed in (parts, [glob.escape(part) for part in parts])
        for path in _glob(_ANY_DATE.join(fixed))
    }
    days = {day for name in names for text in _ISO_DATE.findall(name) if (day := _as_date(text))}
    found = {}
    for day in sorted(days):
        name = pattern.replace(DATE_PLACEHOLDER, day.isoformat())
        files = [Path(name)] if Path(name).is_file() else _glob(name)
        files = [file for file in files if file.is_file()]
        for file in files:
            _require_known_suffix(file)
        if files:
            found[day] = tuple(files)
    return found


def _as_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def _files_by_name(directory: Path) -> DailyFiles:
    found: dict[date | str, list[tuple[Path, ...]]] = {}
    for path in sorted(directory.iterdir()):
        stem = path.name
        files: tuple[Path, ...] = ()
        if path.is_dir():
            stem = stem.removeprefix("date=")
            files = tuple(file for file in sorted(path.iterdir()) if _is_data(file, directory))
        elif _is_data(path, directory):
            suffix = next(end for end in SUFFIXES if stem.lower().endswith(end))
            stem, files = stem[: -len(suffix)], (path,)
        key = "baseline" if stem == "baseline" and not path.is_dir() else _as_date(stem)
        if files and key and (not path.is_dir() or path.name.startswith("date=")):
            found.setdefault(key, []).append(files)
    for key, sources in found.items():
        if len(sources) > 1:
            places = " and ".join(str(files[0]) for files in sources)
            raise DatasetError(f"{directory} has {key} twice: {places}", "keep one of them")
    days = {key: found[key][0] for key in found if isinstance(key, date)}
    if not days:
        raise DatasetError(f"{directory} has no file named by a day", _LAYOUTS)
    baselines = found.get("baseline")
    return DailyFiles(dict(sorted(days.items())), baselines[0] if baselines else None)
