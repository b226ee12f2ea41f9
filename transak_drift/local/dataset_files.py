"""The Parquet and CSV files that make up a dataset, or the days of one."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from transak_drift.platform import PlatformError

_KNOWN = ".parquet, .csv or .csv.gz"
_DATE = "{date}"
_BASELINE = "baseline"
_ISO_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
_ANY_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_LAYOUTS = (
    "name a Parquet or CSV file with a date column, a path with {date} (one file for each day), "
    "or a directory with files YYYY-MM-DD.parquet, YYYY-MM-DD.csv or date=YYYY-MM-DD/*.parquet"
)


class DatasetError(PlatformError):
    """A dataset that cannot be read or measured: what is wrong and where, and what to do."""

    def __init__(self, problem: str, fix: str, setting: str = "") -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{setting}{problem}; fix: {fix}")


@dataclass(frozen=True, slots=True)
class DailyFiles:
    """Data that are split by day: each day's files, and those of a baseline beside them."""

    files: dict[date, tuple[Path, ...]]
    baseline: tuple[Path, ...] | None = None


def find_files(sources: Iterable[Path | str]) -> tuple[Path, ...]:
    """Find the Parquet and CSV files of a dataset, each once, sorted by name within each source.

    A source is a file, a directory (searched with all below it) or a glob pattern, a local one.
    Files and directories whose names begin with `.` or `_` count only where named.
    """
    return tuple(dict.fromkeys(path for source in sources for path in _files_of(str(source))))


def find_days(location: str) -> DailyFiles | tuple[Path, ...]:
    """Find the files of transactions by day, or else those in which a date column gives the day.

    The location is a path with `{date}`, a directory of days, or a file or glob.
    """
    text = _local(location)
    if _DATE in text:
        parts = text.split(_DATE)
        # A name may contain characters that a glob would interpret: what exists goes first.
        exact = _files_by_pattern([glob.escape(part) for part in parts])
        days = _files_by_pattern(parts) | exact
        if not days:
            raise DatasetError(f"no file matches {location}", _LAYOUTS)
        return DailyFiles(dict(sorted(days.items())))
    if Path(text).is_dir():
        return _files_by_name(Path(text))
    return _files_of(text, missing_fix=_LAYOUTS)


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
        files = _data_in(path, "**/*")
        if not files:
            raise DatasetError(f"{source} has no {_KNOWN} file in it", "name another directory")
        return tuple(file.resolve() for file in files)
    # As above: what exists goes first.
    if path.is_file():
        _require_known_suffix(path)
        return (path.resolve(),)
    found = _glob(text)
    matches = [match for match in found if match.is_dir() or _has_known_suffix(match)]
    if matches:
        return tuple(file for match in matches for file in _files_of(str(match)))
    for other in found:
        _require_known_suffix(other)
    problem = f"no file matches {source}" if glob.has_magic(text) else f"{source} does not exist"
    raise DatasetError(problem, missing_fix)


def _glob(pattern: str) -> list[Path]:
    # Path.glob takes no absolute pattern.
    return [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207


def _has_known_suffix(path: Path) -> bool:
    return path.name.lower().endswith((".parquet", ".csv", ".csv.gz"))


def _data_in(directory: Path, pattern: str) -> list[Path]:
    """Find files, but those that systems write beside data: ._part-0.csv, _temporary/, _SUCCESS."""
    return [
        path
        for path in sorted(directory.glob(pattern))
        if _has_known_suffix(path)
        and path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(directory).parts)
    ]


def _require_known_suffix(path: Path) -> None:
    if not _has_known_suffix(path):
        raise DatasetError(
            f"{path} is neither Parquet nor CSV by its name", f"name a {_KNOWN} file"
        )


def _files_by_pattern(parts: Sequence[str]) -> dict[date, tuple[Path, ...]]:
    """Find the files of each day; a glob pattern is the parts with the day between them."""
    found = {}
    paths = _glob(_ANY_DATE.join(parts))
    for text in {text for path in paths for text in _ISO_DATE.findall(str(path))}:
        files = tuple(path for path in _glob(text.join(parts)) if path.is_file())
        for file in files:
            _require_known_suffix(file)
        if files and (day := _as_date(text)):
            found[day] = files
    return found


def _as_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def _files_by_name(directory: Path) -> DailyFiles:
    named: list[tuple[str, tuple[Path, ...]]] = [
        (re.sub(r"\.(parquet|csv|csv\.gz)$", "", path.name.casefold()), (path,))
        for path in _data_in(directory, "*")
    ]
    named += [
        (path.name.removeprefix("date="), tuple(_data_in(path, "*")))
        for path in sorted(directory.glob("date=*"))
    ]
    found: dict[str, tuple[Path, ...]] = {}
    for name, files in named:
        if files and (name == _BASELINE or _as_date(name)):
            if name in found:
                problem = f"{directory} has {name} twice: {found[name][0]} and {files[0]}"
                raise DatasetError(problem, "keep one of them")
            found[name] = files
    baseline = found.pop(_BASELINE, None)
    if not found:
        raise DatasetError(f"{directory} has no file named by a day", _LAYOUTS)
    return DailyFiles({date.fromisoformat(day): found[day] for day in sorted(found)}, baseline)
