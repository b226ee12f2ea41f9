"""The attributes of the objects that local values hold, read from the expressions that build them.

Terraform checks `each.value.name` or `model.name` only in a plan, when it knows the object. What a
`for` expression builds is written in it, so that a misspelt attribute can be found without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from transak_drift_tests.terraform.hcl_files import Block

LOOP = re.compile(r"\bfor (?:(?P<key>\w+), )?(?P<value>\w+) in ")
_LOCAL = re.compile(r"^(?P<kind>local|var)\.(?P<name>\w+)(?:\[[^\]]*\])?$")
_VARIABLE = re.compile(r"^(?P<name>[a-z]+)(?:\[0\])?$")
_KEY = re.compile(r"(\w+) = ")


class ObjectAttributes:
    """Knows what the local values of a configuration hold.

    Args:
        blocks: the top-level blocks of the configuration.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        blocks = list(blocks)
        self._locals: Mapping[str, object] = {
            name: value
            for block in blocks
            if block.type == "locals"
            for name, value in block.body.arguments.items()
        }
        self._variables = {
            block.labels[0]: frozenset(_KEY.findall(str(block.body.arguments["type"])))
            for block in blocks
            if block.type == "variable" and "object(" in str(block.body.arguments.get("type"))
        }
        self._known: dict[str, frozenset[str] | None] = {}

    def all(self) -> dict[str, frozenset[str]]:
        """Return the attributes of each local value whose attributes are known."""
        return {name: known for name in self._locals if (known := self.of_local(name)) is not None}

    def of_local(self, name: str) -> frozenset[str] | None:
        """Return the attributes of a local value, or of its elements; None where it has others."""
        if name not in self._known:
            self._known[name] = None
            value = self._locals.get(name)
            if isinstance(value, str):
                self._known[name] = self.of_expression(value)
        return self._known[name]

    def of_expression(self, text: str) -> frozenset[str] | None:
        """Return the attributes of what an expression builds, or of its elements.

        Args:
            text: the expression as python-hcl2 gives it.

        Returns:
            The names; None where the expression does not tell them.
        """
        return self._of(_bare(text), {})

    def of_loop_variables(self, text: str) -> dict[str, frozenset[str]]:
        """Return the attributes that the loop variables of an expression have, by variable.

        Args:
            text: the expression.

        Returns:
            The names; a variable whose objects are not known is left out.
        """
        variables: dict[str, frozenset[str]] = {}
        for loop in LOOP.finditer(text):
            attributes = self._of(_up_to_colon(text, loop.end()), variables)
            if attributes is not None:
                variables[loop["value"]] = variables.get(loop["value"], frozenset()) | attributes
        return variables

    def _of(self, text: str, variables: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
        if named := _LOCAL.match(text):
            if named["kind"] == "var":
                return self._variables.get(named["name"])
            return self.of_local(named["name"])
        if variable := _VARIABLE.match(text):
            return variables.get(variable["name"])
        if not text.startswith(("{", "[")):
            return None
        inside = text[1:-1].strip()
        loop = LOOP.match(inside)
        if loop is None:
            return frozenset(_keys(inside)) if text.startswith("{") else None
        collection = _up_to_colon(inside, loop.end())
        attributes = self._of(collection, variables)
        if attributes is not None:
            variables = {**variables, loop["value"]: attributes}
        element = inside[loop.end() + len(collection) :].lstrip(" :")
        if text.startswith("{"):
            element = element.partition(" => ")[2]
        return self._of(_up_to_condition(element), variables)


def _bare(text: str) -> str:
    return text[2:-1].strip() if text.startswith("${") else text


@cache
def _up_to_colon(text: str, start: int) -> str:
    """Return what a loop runs over: up to the colon that is in no bracket."""
    for index in _outside_brackets(text, start):
        if text.startswith(" :", index):
            return text[start:index]
    return text[start:]


@cache
def _up_to_condition(element: str) -> str:
    for index in _outside_brackets(element, 0):
        if element.startswith((" if ", "...")):
            return element[:index]
        if element.startswith((" if ", "..."), index):
            return element[:index].strip()
    return element.strip()


@cache
def _keys(inside: str) -> tuple[str, ...]:
    """Return the keys of an object constructor, given what is between its brackets."""
    starts = {0, *(i + 1 for i in _outside_brackets(inside, 0) if inside[i] == ",")}
    found = (_KEY.match(inside[start:].lstrip()) for start in sorted(starts))
    return tuple(key[1] for key in found if key)


def _outside_brackets(text: str, start: int) -> Iterator[int]:
    depth = 0
    in_string = False
    for index in range(start, len(text)):
        character = text[index]
        if character == '"':
            in_string = not in_string
        if character in "{[(":
            depth += 1
        elif character in "}])":
            depth -= 1
        elif depth == 0 and not in_string:
            yield index
