"""The Parquet and CSV files that make up a dataset."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".parquet", ".csv", ".csv.gz")


class DatasetError(ValueError):
    """A dataset that cannot be read or measured; the message names the place and the fix."""


def find_files(sources: Iterable[Path | str]) -> tuple[Path, ...]:
    """Find the Parquet and CSV files of a dataset.

    Args:
        sources: files, directories (searched with all below them) and glob patterns, local ones.

    Returns:
        The files, each once, in the order of the sources and sorted by name within each.

    Raises:
        DatasetError: a source does not exist, holds no such file, or is of another format.
    """
    found: dict[Path, None] = {}
    for source in sources:
        found.update(dict.fromkeys(_files_of(source)))
    if not found:
        raise DatasetError("the dataset names no source; name a Parquet or CSV file")
    return tuple(found)


def _files_of(source: Path | str) -> list[Path]:
    text = str(source)
    if "://" in text:
        raise DatasetError(f"{text} is no local path; download it and name the local file")
    path = Path(text).expanduser()
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file()
            and _has_known_suffix(file)
            and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        ]
        if not files:
            raise DatasetError(f"{text} has no {_known_suffixes()} file in it; name another")
        return [file.resolve() for file in files]
    if path.is_file():
        if not _has_known_suffix(path):
            raise DatasetError(f"{text} is of an unknown format; name a {_known_suffixes()} file")
        return [path.resolve()]
    if glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - patterns may be absolute
        known = [match for match in matches if match.is_dir() or _has_known_suffix(match)]
        if known:
            return [file for match in known for file in _files_of(match)]
        raise DatasetError(f"no file matches {text}; correct the pattern")
    raise DatasetError(f"{text} does not exist; correct the path")


def _has_known_suffix(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _known_suffixes() -> str:
    return " or ".join((", ".join(SUFFIXES[:-1]), SUFFIXES[-1]))
