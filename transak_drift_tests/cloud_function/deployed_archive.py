"""The function's archive as Terraform packs it: its own list of files, read from its own text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from transak_drift_tests.config.configurations import REPOSITORY

SOURCE_LIST = REPOSITORY / "terraform" / "cloud_function_source.tf"
_ALTERNATIVES = re.compile(r"\{([^{}]+)\}")


def unpack_archive(
    directory: Path, config_text: str | None, further_configs: Mapping[str, str] | None = None
) -> None:
    """Lay out what the function is deployed from, with its monitoring_config.json, if any.

    The configurations of further models that share the topic are given by the name of their file.
    """
    text = SOURCE_LIST.read_text(encoding="utf-8")
    for pattern in re.findall(r'^\s+"(transak_drift/[^"$]+)",$', text, re.MULTILINE):
        for file in _find(pattern):
            _copy(file, directory / file.relative_to(REPOSITORY))
    own_names = re.findall(r'"([^"]+)"\s*=\s*"\$\{local\.repository_root\}/([^"$]+)"', text)
    for name, path in own_names:
        _copy(REPOSITORY / path, directory / name)
    assert '? "monitoring_config.json" : "monitoring_configs/${basename(path)}"' in text
    if config_text is not None:
        (directory / "monitoring_config.json").write_text(config_text, encoding="utf-8")
    for name, config in (further_configs or {}).items():
        (directory / "monitoring_configs").mkdir(exist_ok=True)
        (directory / "monitoring_configs" / name).write_text(config, encoding="utf-8")


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
