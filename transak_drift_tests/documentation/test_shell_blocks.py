"""Every command in README and docs/ runs, in the order of its page, or says why it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from transak_drift_tests.documentation.shell_blocks import documents, shell_blocks

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [path.relative_to(REPOSITORY).as_posix() for path in documents(REPOSITORY)]
LIMIT_SECONDS = 120
# What a page may be followed in only as a copy: the commands write it.
WRITTEN = {"monitoring_config.schema.json"}
NOT_IN_A_CLONE = {".venv", ".transak_drift", ".git"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a working directory as README's first step leaves it."""
    for path in REPOSITORY.iterdir():
        if path.name in WRITTEN:
            (tmp_path / path.name).write_bytes(path.read_bytes())
        elif path.name not in NOT_IN_A_CLONE:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_of_a_page_run_in_order(document: str, clone: Path) -> None:
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("TRANSAK_DRIFT_", "DAGSTER_")) and key != "PUBSUB_EMULATOR_HOST"
    }
    environment |= {
        "DAGSTER_HOME": str(clone / "dagster_home"),
        "TRANSAK_DRIFT_ROWS_PER_DAY": "300",
    }
    (clone / "dagster_home").mkdir()
    for block in shell_blocks((REPOSITORY / document).read_text(encoding="utf-8")):
        if block.reason is not None:
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.commands],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, (
            f"{document}:{block.line} ended with {done.returncode}:\n{block.commands}\n"
            f"{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"
        )


def test_most_pages_have_commands_that_run() -> None:
    run = {
        document
        for document in DOCUMENTS
        for block in shell_blocks((REPOSITORY / document).read_text(encoding="utf-8"))
        if block.reason is None
    }
    assert run == set(DOCUMENTS) - {"CHANGELOG.md"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_within_the_repository_lead_somewhere(document: str) -> None:
    source = REPOSITORY / document
    tokens = MarkdownIt("commonmark").parse(source.read_text(encoding="utf-8"))
    targets = [
        str(child.attrs.get("href") or child.attrs.get("src"))
        for token in tokens
        for child in token.children or ()
        if child.type in ("link_open", "image")
    ]
    missing = [
        target
        for target in targets
        if "://" not in target and not (source.parent / target.partition("#")[0]).exists()
    ]
    assert missing == []


def test_blocks_are_found_wherever_they_stand() -> None:
    text = (
        "```console\na\n```\n\n- item\n\n  ```bash\n  b\n  c\n  ```\n\n"
        "> ```sh not-run: why  \n> d\n> ```\n\n```json\n{}\n```\n\n```\nplain\n```\n"
    )
    found = [(block.line, block.commands, block.reason) for block in shell_blocks(text)]
    assert found == [(1, "a\n", None), (7, "b\nc\n", None), (12, "d\n", "why")]


@pytest.mark.parametrize("words", ["not-run:", "not-run", "skip", "not-run reason"])
def test_a_block_that_does_not_run_says_why(words: str) -> None:
    with pytest.raises(ValueError, match="line 1: "):
        shell_blocks(f"```console {words}\na\n```\n")
