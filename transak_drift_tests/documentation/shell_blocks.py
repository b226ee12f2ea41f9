"""The shell commands in the documentation, found as a Markdown reader finds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

SHELL_LANGUAGES = frozenset({"console", "sh", "bash", "shell", "zsh", "terminal"})
NOT_RUN = "not-run:"


@dataclass(frozen=True, slots=True)
class ShellBlock:
    """One fenced block of shell commands.

    Args:
        line: line of the fence, from 1.
        commands: the commands, one a line.
        reason: why no test runs it, or None where one does.
    """

    line: int
    commands: str
    reason: str | None


def shell_blocks(text: str) -> list[ShellBlock]:
    """Find the shell blocks of a document.

    Args:
        text: Markdown (CommonMark).

    Returns:
        The blocks in order, those within lists and quotes included.

    Raises:
        ValueError: a block's first line has other words than `not-run: reason` after the language.
    """
    found = []
    for token in MarkdownIt("commonmark").parse(text):
        language, _, rest = token.info.strip().partition(" ")
        if token.type != "fence" or language not in SHELL_LANGUAGES:
            continue
        line = token.map[0] + 1 if token.map else 0
        rest = rest.strip()
        reason = rest.removeprefix(NOT_RUN).strip()
        if rest and (not rest.startswith(NOT_RUN) or not reason):
            raise ValueError(f"line {line}: {rest!r} is not `{NOT_RUN} reason`")
        found.append(ShellBlock(line, token.content, reason or None))
    return found


def documents(repository: Path) -> list[Path]:
    """Return README, CHANGELOG, CONTRIBUTING and the pages in docs/."""
    return [
        repository / "README.md",
        repository / "CHANGELOG.md",
        repository / "CONTRIBUTING.md",
        *sorted((repository / "docs").glob("*.md")),
    ]
