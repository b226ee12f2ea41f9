"""Mistakes put into the text of the .tf files, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from transak_drift_tests.terraform.configuration_check import Schema
from transak_drift_tests.terraform.object_attributes import LOOP

_TOP_LEVEL = re.compile(r"^[a-z]+\b[^\n]*\{\n(?:.*?\n)?\}$", re.DOTALL | re.MULTILINE)
_HEADER = re.compile(r'^(?P<type>[a-z]+)(?: "(?P<first>\w+)")?(?: "(?P<second>\w+)")? \{$', re.M)
_NESTED_BLOCK = re.compile(r"^ +(?P<name>[a-z_]+) \{$", re.MULTILINE)
_REFERENCE = re.compile(
    r"(?<![\w.\"/])(?:var|local|each|google_\w+\.\w+(?:\[[\w.]+\])?)\.(?P<name>\w+)"
)
_INDEX = re.compile(r"(?<![\w.\"/])google_\w+\.\w+(?P<index>\[[\w.]+\])\.")
_OBJECT_ATTRIBUTE = re.compile(
    r"(?<![\w.\"/])(?:each\.value|local\.\w+(?:\[[\w.]+\])?"
    r"|(?P<variable>[a-z]+)(?:\[0\])?)\.(?P<name>[a-z]\w+)"
)
_OBJECT_KEY = re.compile(r"^      (?P<name>\w+) += ", re.MULTILINE)


OF_AN_OBJECT = "attribute"
"""Begins the description of a mistake that only a plan finds, since validation knows no objects."""


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
        blocks, references to nothing, and attributes and keys of objects that do not fit.
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
    if re.search(r"^  for_each += ", block, re.MULTILINE) and "each." in block:
        yield "for_each missing", _without(block, "for_each")
    yield from _mutated_references(block, kind)


def _mutated_references(block: str, kind: str) -> Iterator[tuple[str, str]]:
    for reference in _once_each(_REFERENCE, block):
        end = reference.end("name")
        yield f"{reference[0]} misspelt", f"{block[:end]}x{block[end:]}"
    for reference in _INDEX.finditer(block):
        start, end = reference.span("index")
        yield f"{reference[0]} without its index", block[:start] + block[end:]
    variables = {loop["value"] for loop in LOOP.finditer(block)}
    for reference in _once_each(_OBJECT_ATTRIBUTE, block):
        if reference["variable"] in (variables | {None}):
            end = reference.end("name")
            yield f"{OF_AN_OBJECT} {reference[0]} misspelt", f"{block[:end]}x{block[end:]}"
    if kind == "locals":
        for key in _OBJECT_KEY.finditer(block):
            end = key.end("name")
            yield f"{OF_AN_OBJECT} {key['name']} misspelt", f"{block[:end]}x{block[end:]}"


def _once_each(pattern: re.Pattern[str], block: str) -> Iterator[re.Match[str]]:
    """Find each reference where it stands first: the check does not tell its places apart."""
    yield from {match[0]: match for match in reversed(list(pattern.finditer(block)))}.values()


def _without(block: str, argument: str) -> str:
    single_or_opening = re.search(rf"^  {argument} += ([^\n]*)\n", block, re.MULTILINE)
    assert single_or_opening is not None, f"{argument} is not given in {block[:60]!r}"
    end = single_or_opening.end()
    if re.search(r"[\[{(]$", single_or_opening[1]):
        closing = re.compile(r"^  [\]})].*\n", re.MULTILINE).search(block, end)
        assert closing is not None
        end = closing.end()
    return block[: single_or_opening.start()] + block[end:]
