"""The function's archive as Terraform packs it: its own list of files, read from its own text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from transak_drift_tests.config.configurations import REPOSITORY

SOURCE_LIST = REPOSITORY / "terraform" / "cloud_function_source.tf"
_ALTERNATIVES = re.compile(r"\{([^{}]+)\}")


CONFIG = "monitoring_config.json"
FURTHER_CONFIG = "monitoring_configs/transak-i2.json"


def unpack_archive(directory: Path, configs: Mapping[str, str]) -> None:
    """Lay out what the function is deployed from, with its configurations by their path."""
    text = SOURCE_LIST.read_text(encoding="utf-8")
    for pattern in re.findall(r'^\s+"(transak_drift/[^"$]+)",$', text, re.MULTILINE):
        for file in _find(pattern):
            _copy(file, directory / file.relative_to(REPOSITORY))
    own_names = re.findall(r'"([^"]+)"\s*=\s*"\$\{local\.repository_root\}/([^"$]+)"', text)
    for name, path in own_names:
        _copy(REPOSITORY / path, directory / name)
    assert '? "monitoring_config.json" : "monitoring_configs/${basename(path)}"' in text
    for name, text in configs.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")


def _find(pattern: str) -> Iterator[Path]:
    match = _ALTERNATIVES.search(pattern)
    if match is None:
        yield from REPOSITORY.glob(pattern)
        return
    for alternative in match[1].split(","):
        yield from _find(pattern[: match.start()] + alternative + pattern[match.end() :])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
