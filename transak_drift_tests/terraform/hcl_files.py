"""The .tf files of terraform/, parsed with python-hcl2 into blocks, arguments and references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2

REPOSITORY = Path(__file__).parents[2]
TERRAFORM_DIRECTORY = REPOSITORY / "terraform"
BUILT_IN_PROVIDER = "terraform"

_BLOCK_MARK = "__is_block__"
_IGNORED_KEYS = frozenset({_BLOCK_MARK, "__comments__", "__inline_comments__"})


@dataclass
class Body:
    """The inside of a block.

    Args:
        arguments: values by argument name, as python-hcl2 gives them (expressions as text).
        blocks: nested blocks by type, in order.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: dict[str, list[Block]] = field(default_factory=dict)

    def expressions(self) -> Iterator[str]:
        """Yield every text in the body's arguments, also from nested blocks."""
        yield from _texts(self.arguments)
        for blocks in self.blocks.values():
            for block in blocks:
                yield from block.body.expressions()


@dataclass
class Block:
    """A block.

    Args:
        file: name of the file it stands in.
        type: e.g. `resource`.
        labels: e.g. ("google_pubsub_topic", "trigger").
        body: its content.
    """

    file: str
    type: str
    labels: tuple[str, ...]
    body: Body

    def __str__(self) -> str:
        return " ".join([f"{self.file}: {self.type}", *(f'"{label}"' for label in self.labels)])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def terraform_files() -> dict[str, str]:
    """Read the configuration.

    Returns:
        The text of each .tf file in terraform/ by its name.
    """
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(TERRAFORM_DIRECTORY.glob("*.tf"))
    }


def parse(files: Mapping[str, str]) -> list[Block]:
    """Parse a configuration.

    Args:
        files: the text of each file by its name.

    Returns:
        The top-level blocks of all files.

    Raises:
        ValueError: a file is not valid HCL; names it.
    """
    blocks: list[Block] = []
    for name, text in files.items():
        try:
            document = hcl2.loads(text)
        except Exception as error:
            raise ValueError(f"{name} is not valid HCL: {error}") from error
        body = _body(name, document)
        if body.arguments:
            raise ValueError(f"{name} has arguments outside any block: {sorted(body.arguments)}")
        blocks += [block for group in body.blocks.values() for block in group]
    return blocks


def _body(file: str, content: Mapping[str, Any]) -> Body:
    body = Body()
    for raw_name, value in content.items():
        if raw_name in _IGNORED_KEYS:
            continue
        name = _unquoted(raw_name)
        if isinstance(value, list) and value and all(_leads_to_block(item) for item in value):
            body.blocks[name] = [_block(file, name, item) for item in value]
        else:
            body.arguments[name] = value
    return body


def _leads_to_block(item: Any) -> bool:
    """Tell whether an item is a block, or labels with a block under them."""
    while isinstance(item, Mapping):
        if item.get(_BLOCK_MARK):
            return True
        keys = [key for key in item if key not in _IGNORED_KEYS]
        if len(keys) != 1 or not re.fullmatch(r'".*"|\w+', keys[0]):
            return False
        item = item[keys[0]]
    return False


def _block(file: str, type_name: str, item: Mapping[str, Any]) -> Block:
    labels: list[str] = []
    while not item.get(_BLOCK_MARK):
        (label,) = (key for key in item if key not in _IGNORED_KEYS)
        labels.append(_unquoted(label))
        item = item[label]
    return Block(file, type_name, tuple(labels), _body(file, item))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def provider_types(files: Mapping[str, str]) -> set[tuple[str, str]]:
    """List the types of a configuration that come from a provider outside Terraform itself.

    Args:
        files: the text of each file by its name.

    Returns:
        Pairs of "resource" or "data" and the type's name.
    """
    return {
        (block.type, block.labels[0])
        for block in parse(files)
        if block.type in ("resource", "data")
        and not block.labels[0].startswith(f"{BUILT_IN_PROVIDER}_")
    }
