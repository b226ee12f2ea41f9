"""Every command in README and docs/ runs, in the order of its page, or says why it does not."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from transak_drift.cloud_function.drift_message_handler import NOT_SETTLED, UNEXPECTED_EVENT
from transak_drift.trigger.message import RejectionReason
from transak_drift_tests.cli.commands import call
from transak_drift_tests.config.configurations import configuration

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md"))),
]
LIMIT_SECONDS = 120
# Nothing in it is the shell's.
PLAIN_COMMAND = re.compile(r"\.venv/bin/transak-drift( [a-z0-9./_-]+)+")
# What a page may be followed in only as a copy: the commands write it.
WRITTEN = {"monitoring_config.schema.json"}
NOT_IN_A_CLONE = {".venv", ".transak_drift", ".git"}

SHELL_LANGUAGES = frozenset({"console", "sh", "bash", "shell", "zsh", "terminal"})


def blocks_to_run(document: str) -> list[tuple[int, str]]:
    """Find the commands that are fenced in a page, each with its line, also in lists and quotes.

    After a block's language stands nothing, or `not-run: reason`.
    """
    found = []
    for token in MarkdownIt("commonmark").parse((REPOSITORY / document).read_text("utf-8")):
        language, _, rest = token.info.strip().partition(" ")
        if token.type == "fence" and language in SHELL_LANGUAGES:
            line = token.map[0] + 1 if token.map else 0
            is_right = re.fullmatch(r"(not-run: *\S.*)?", rest.strip())
            assert is_right, f"{document}:{line}: {rest!r} is not `not-run: reason`"
            if not rest:
                found.append((line, token.content))
    return found


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
def test_the_commands_of_a_page_run_in_order(
    document: str, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith(("TRANSAK_DRIFT_", "DAGSTER_", "PUBSUB_EMULATOR_HOST")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", str(clone / "dagster_home"))
    monkeypatch.setenv("TRANSAK_DRIFT_ROWS_PER_DAY", "300")
    monkeypatch.chdir(clone)
    (clone / "dagster_home").mkdir()
    for number, commands in blocks_to_run(document):
        lines = commands.splitlines()
        if all(PLAIN_COMMAND.fullmatch(line) for line in lines):
            # Each process would spend seconds on imports.
            for line in lines:
                result = call(*shlex.split(line)[1:])
                assert result.exit_code == 0, f"{document}:{number}: {line}\n{result.output}"
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, (
            f"{document}:{number} ended with {done.returncode}:\n{commands}\n"
            f"{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"
        )


def test_the_examples_of_a_configuration_are_right() -> None:
    tokens = MarkdownIt("commonmark").parse((REPOSITORY / "docs/configuration.md").read_text())
    examples = [token.content for token in tokens if token.info == "json"]
    assert examples
    for example in examples:
        configuration(**json.loads(f"{{{example}}}"))


def test_most_pages_have_commands_that_run() -> None:
    run = set(filter(blocks_to_run, DOCUMENTS))
    assert run == set(DOCUMENTS) - {"CHANGELOG.md", "docs/architecture.md"}


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


def test_each_reason_of_a_dead_letter_has_its_advice() -> None:
    page = (REPOSITORY / "docs" / "operators.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line[:2] == "| "]
    advised = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    function = (UNEXPECTED_EVENT, NOT_SETTLED)
    # The last two are given where Pub/Sub itself, or a stranger, published the letter.
    others = ("max_delivery_attempts", "unknown")
    expected = [*(str(reason) for reason in RejectionReason), *function, *others]
    assert sorted(advised) == sorted(expected)
