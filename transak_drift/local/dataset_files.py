"""The Parquet and CSV files that make up a dataset, or the windows of one."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from transak_drift.config.data_source import (
    fill_placeholders,
    length_of_files,
    path_faults,
    window_forms,
)
from transak_drift.config.monitoring_window import (
    MAX_DAY,
    MIN_DAY,
    Window,
    WindowCalendar,
    WindowLength,
)
from transak_drift.platform import PlatformError

_KNOWN = ".parquet, .csv or .csv.gz"
_BASELINE = "baseline"
# By what stands before the = in the name of a directory; files have nothing before it.
_LENGTHS: dict[str, tuple[WindowLength, ...]] = {
    "": ("day", "week", "month"),
    "DATE": ("day",),
    "WEEK": ("week",),
    "MONTH": ("month",),
}
_LAYOUTS = (
    "name a Parquet or CSV file with a date column; a path with {date}, {date:%G-W%V} or {yyyymm}, "
    "one file for each day, week or month; or a directory with files that are named by them, such "
    "as 2026-08-27.csv, 2026-W35.csv, 2026-08.parquet or month=202608/*.parquet"
)
# What stands for a code of strftime ("strftime() and strptime() Format Codes").
_CODE = r"%[-_0^#]?([A-Za-z])"
_CODE_PATTERNS = {"Y": r"\d{4}", "G": r"\d{4}", **dict.fromkeys("mdyV", r"\d{1,2}")}
_WILDCARD = r"(\*\*/|\*+|\?|\[!?[^]]+\])"


class DatasetError(PlatformError):
    """A dataset that cannot be read or measured: what is wrong and where, and what to do."""

    def __init__(self, problem: str, fix: str, setting: str = "") -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{setting}{problem}; fix: {fix}")


@dataclass(frozen=True, slots=True)
class TransactionFiles:
    """Files of transactions: each window's own, ascending, or such whose date column tells it.

    The former are all of one length, perhaps shorter than the windows that are monitored. A
    baseline may lie beside them.
    """

    by_window: dict[Window, tuple[Path, ...]]
    dated: tuple[Path, ...] = ()
    baseline: tuple[Path, ...] | None = None

    @property
    def length(self) -> WindowLength | None:
        """What each file is of; None where a date column tells it."""
        return next((window.length for window in self.by_window), None)

    def within(self, window: Window) -> list[Path]:
        """Return the files of a window, and of those that are part of it."""
        return [
            file
            for part, files in self.by_window.items()
            if window.first_day <= part.first_day <= part.last_day <= window.last_day
            for file in files
        ]


def find_files(sources: Iterable[Path | str]) -> tuple[Path, ...]:
    """Find the Parquet and CSV files of a dataset, each once, sorted by name within each source.

    A source is a file, a directory (searched with all below it) or a glob pattern, a local one.
    Files and directories whose names begin with `.` or `_` count only where named.
    """
    return tuple(dict.fromkeys(path for source in sources for path in _files_of(str(source))))


def find_transactions(location: str, length: WindowLength) -> TransactionFiles:
    """Find the files of transactions whose windows of a length are monitored.

    The location is a path with placeholders of the window, as `vertex.prediction_dataset` has them,
    a directory, or a file or glob.
    """
    text = _local(location)
    if not Path(text).exists():
        for problem, fix in path_faults(text):
            raise DatasetError(problem, fix)
    if window_forms(text):
        # A name may contain characters that a glob would interpret: what exists goes first.
        exact = _files_by_pattern(glob.escape(text), length)
        found = _files_by_pattern(text, length) | exact
        if not found:
            raise DatasetError(f"no file matches {location}", _LAYOUTS)
        return TransactionFiles(dict(sorted(found.items())))
    if Path(text).is_dir():
        return _files_by_name(Path(text))
    return TransactionFiles({}, _files_of(text, missing_fix=_LAYOUTS))


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


def _files_by_pattern(pattern: str, length: WindowLength) -> dict[Window, tuple[Path, ...]]:
    """Find the files of each window; the pattern is a glob with placeholders."""
    all_files, as_regex, codes, rest = "", "", [], pattern
    for placeholder, form in window_forms(pattern):
        literal, _, rest = rest.partition(placeholder)
        # Literals and codes in turn.
        pieces = re.split(_CODE, form)
        codes += pieces[1::2]
        all_files += literal + "*".join(pieces[::2])
        patterns = [f"({_CODE_PATTERNS.get(code, '.+?')})" for code in pieces[1::2]]
        pieces[::2], pieces[1::2] = map(re.escape, pieces[::2]), patterns
        as_regex += _regex_of_glob(literal) + "".join(pieces)
    as_regex += _regex_of_glob(rest)
    if (length_of_file := length_of_files(pattern, length)) is None or not {*"YyG"} & {*codes}:
        raise DatasetError("its placeholders name no day, week or month with its year", _LAYOUTS)
    calendar = WindowCalendar(length_of_file)
    found: dict[Window, tuple[Path, ...]] = {}
    for path in _glob(all_files + rest):
        match = re.fullmatch(as_regex, str(path))
        # Of a code that is there twice the first counts.
        values = list(zip(codes, match.groups(), strict=True)) if match else []
        day = _day_of(dict(reversed(values)))
        if day is None or (window := calendar.of_day(day)) in found:
            continue
        files = [file for file in _glob(fill_placeholders(pattern, window)) if file.is_file()]
        for file in files:
            _require_known_suffix(file)
        # A path that names the window twice, and differently, is none of its files.
        if path in files:
            found[window] = tuple(files)
    return found


def _day_of(values: dict[str, str]) -> date | None:
    """Return the day that codes of strftime name, of a week or month its first; or None."""
    if "V" in values:
        values = {"u": "1", **values}
    try:
        text, form = " ".join(values.values()), " ".join(f"%{code}" for code in values)
        day = datetime.strptime(text, form).date()
    except ValueError:
        return None
    return day if MIN_DAY <= day <= MAX_DAY else None


def _regex_of_glob(pattern: str) -> str:
    known = {"**/": "(?:.*/)?", "?": "[^/]"}
    parts = [re.escape(part) for part in re.split(_WILDCARD, pattern)]
    for index, wildcard in enumerate(re.findall(_WILDCARD, pattern)):
        inner = wildcard[1:-1].replace("\\", r"\\").replace("[", r"\[")
        of_class = f"[{re.sub('^!', '^', inner)}]"
        parts[2 * index + 1] = of_class if "[" in wildcard else known.get(wildcard, ".*")
    return "".join(parts)


def _files_by_name(directory: Path) -> TransactionFiles:
    named: list[tuple[str, tuple[Path, ...]]] = [
        (re.sub(r"\.(parquet|csv|csv\.gz)$", "", path.name.casefold()), (path,))
        for path in _data_in(directory, "*")
    ]
    named += [(path.name, tuple(_data_in(path, "*"))) for path in sorted(directory.glob("*=*"))]
    found: dict[Window, tuple[Path, ...]] = {}
    baseline: tuple[Path, ...] | None = None
    for name, files in named:
        window, former = _window_of(name), baseline
        if window is not None and files:
            former, found[window] = found.get(window), files
        elif name == _BASELINE:
            baseline = files
        else:
            continue
        if former is not None:
            what = window or _BASELINE
            problem = f"{directory} has {what} twice: {former[0]} and {files[0]}"
            raise DatasetError(problem, "keep one of them")
    examples = {window.length: str(files[0]) for window, files in found.items()}
    if len(examples) > 1:
        problem = f"{directory} has files of several lengths: {' and '.join(examples.values())}"
        raise DatasetError(problem, "keep those of days, weeks and months in different directories")
    if found:
        return TransactionFiles(dict(sorted(found.items())), baseline=baseline)
    dated = [file for file in _data_in(directory, "**/*") if file not in (baseline or ())]
    if not dated:
        raise DatasetError(f"{directory} has no file named by a day, week or month", _LAYOUTS)
    return TransactionFiles({}, tuple(file.resolve() for file in dated), baseline)


def _window_of(name: str) -> Window | None:
    """Return the window that a file or directory is named by, such as 2026-08 or month=202608."""
    key, _, text = name.upper().rpartition("=")
    text = re.sub(r"^(\d{4})(\d{2})$", r"\1-\2", text)
    for length in _LENGTHS.get(key, ()):
        with suppress(ValueError):
            window = WindowCalendar(length).parse(text)
            return window if MIN_DAY <= window.first_day <= MAX_DAY else None
    return None
