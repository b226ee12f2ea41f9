"""Mistakes put into the text of the .tf files, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from transak_drift_tests.terraform.configuration_check import Schema

_TOP_LEVEL = re.compile(r"^[a-z]+\b[^\n]*\{\n(?:.*?\n)?\}$", re.DOTALL | re.MULTILINE)
_HEADER = re.compile(r'^(?P<type>[a-z]+)(?: "(?P<first>\w+)")?(?: "(?P<second>\w+)")? \{$', re.M)
_NESTED_BLOCK = re.compile(r"^ +(?P<name>[a-z_]+) \{$", re.MULTILINE)
_REFERENCE = re.compile(r"(?<![\w.\"/])(?:var|local|google_\w+\.\w+(?:\[[\w.]+\])?)\.(?P<name>\w+)")


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    Args:
        file: the file it is made in.
        block: the first line of the top-level block it is made in.
        what: what was done.
        original: the block's text.
        mutated: the block's text with the mistake.
    """

    file: str
    block: str
    what: str
    original: str
    mutated: str

    def __str__(self) -> str:
        return f"{self.file}: {self.block}: {self.what}"


def top_level_blocks(text: str) -> list[str]:
    """Split a file, in canonical format, into the texts of its top-level blocks."""
    return [match[0] for match in _TOP_LEVEL.finditer(text)]


def mutations(file: str, text: str, schema: Schema) -> Iterator[Mutation]:
    """Make every mistake that a file has room for.

    Args:
        file: the file's name.
        text: its text in canonical format.
        schema: the content of `provider_schema.json`.

    Yields:
        Misspelt types, wrong and misspelt arguments and blocks, missing required arguments and
        blocks, and references to nothing.
    """
    for original in top_level_blocks(text):
        header = original.partition("\n")[0]
        for what, mutated in _mutated(original, schema):
            assert mutated != original, f"{file}: {header}: {what} changes nothing"
            yield Mutation(file, header, what, original, mutated)


def _mutated(block: str, schema: Schema) -> Iterator[tuple[str, str]]:
    header = _HEADER.match(block)
    if header is None:
        return
    kind, type_name = header["type"], header["first"]
    yield "misspelt block type", block.replace(kind, f"{kind[:-1]}", 1)
    if kind != "locals":
        start = header.end()
        yield "wrong argument", f"{block[:start]}\n  no_such_argument = 1{block[start:]}"
        yield "wrong block", f"{block[:start]}\n  no_such_block {{\n  }}\n{block[start:]}"
    if kind in ("resource", "data"):
        yield "misspelt type", block.replace(f'"{type_name}"', f'"{type_name[:-1]}"', 1)
        for name, argument in schema[kind].get(type_name, {"arguments": {}})["arguments"].items():
            if argument["required"]:
                yield f"{name} missing", _without(block, name)
            elif found := re.search(rf"^  {name} += ", block, re.MULTILINE):
                misspelt = f"  {name}x = "
                yield f"{name} misspelt", block[: found.start()] + misspelt + block[found.end() :]
    if kind in ("variable", "output"):
        yield "description missing", _without(block, "description")
        yield "type or value missing", _without(block, "type" if kind == "variable" else "value")
    for nested in _NESTED_BLOCK.finditer(block):
        start, end = nested.span("name")
        yield f"block {nested['name']} misspelt", f"{block[:end]}x{block[end:]}"
        if nested["name"] not in ("content", "required_providers"):
            as_argument = f"{block[:end]} ={block[end:]}"
            yield f"block {nested['name']} as an argument", as_argument
    for reference in _REFERENCE.finditer(block):
        end = reference.end("name")
        yield f"{reference[0]} misspelt", f"{block[:end]}x{block[end:]}"


def _without(block: str, argument: str) -> str:
    single_or_opening = re.search(rf"^  {argument} += ([^\n]*)\n", block, re.MULTILINE)
    assert single_or_opening is not None, f"{argument} is not given in {block[:60]!r}"
    end = single_or_opening.end()
    if re.search(r"[\[{(]$", single_or_opening[1]):
        closing = re.compile(r"^  [\]})].*\n", re.MULTILINE).search(block, end)
        assert closing is not None
        end = closing.end()
    return block[: single_or_opening.start()] + block[end:]
