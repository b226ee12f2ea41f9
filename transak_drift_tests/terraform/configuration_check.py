"""Check of a Terraform configuration against the schemas of its providers, without the providers.

It finds what `terraform validate` would find and HCL alone does not tell: unknown types, arguments
and blocks, missing required ones, literals of a wrong type, references to nothing, and what is
declared but never used. And it finds what only a plan would: attributes that the objects of local
values do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from transak_drift_tests.terraform.hcl_files import Block, Body
from transak_drift_tests.terraform.object_attributes import ObjectAttributes

Schema = Mapping[str, Any]


def _schema(required: Sequence[str] = (), optional: Sequence[str] = (), **blocks: Any) -> Schema:
    arguments = {name: {"type": "any", "required": True} for name in required}
    arguments |= {name: {"type": "any", "required": False} for name in optional}
    return {"arguments": arguments, "blocks": blocks}


def _block(schema: Schema, *, repeatable: bool = True) -> Schema:
    return {"required": False, "repeatable": repeatable, **schema}


_CONDITION = _block(_schema(["condition", "error_message"]))
_LIFECYCLE = _block(
    _schema(
        optional=["create_before_destroy", "prevent_destroy", "ignore_changes"],
        precondition=_CONDITION,
        postcondition=_CONDITION,
    ),
    repeatable=False,
)
# Source: "Terraform language" documentation, pages "Resources", "Variables", "Outputs", "Checks",
# "Provider requirements" and "The terraform_data managed resource type".
_META_ARGUMENTS = _schema(optional=["count", "for_each", "depends_on"], lifecycle=_LIFECYCLE)
_OWN_BLOCKS: Mapping[str, Schema] = {
    "variable": _schema(
        ["type", "description"], ["default", "nullable", "sensitive"], validation=_CONDITION
    ),
    "output": _schema(["description", "value"], ["sensitive", "depends_on"]),
    "check": _schema(**{"assert": _CONDITION}),
    "terraform": _schema(
        ["required_version"], required_providers=_block(_schema(), repeatable=False)
    ),
}
_BUILT_IN_TYPES: Mapping[str, Schema] = {
    "terraform_data": {
        **_schema(optional=["input", "triggers_replace"]),
        "attributes": ["id", "input", "output"],
    }
}
_LABEL_COUNTS = {"resource": 2, "data": 2, "variable": 1, "output": 1, "provider": 1, "check": 1}
_FIXED_REFERENCES: Mapping[str, frozenset[str]] = {
    "path": frozenset({"module", "root", "cwd"}),
    "each": frozenset({"key", "value"}),
    "count": frozenset({"index"}),
}
_REPEATED_BY: Mapping[str, str] = {"each": "for_each", "count": "count"}
_REFERENCE = re.compile(
    r"(?<![\w.-])(?P<root>data\.)?(?P<type>[a-z][a-z0-9_]*)\.(?P<name>[A-Za-z_]\w*)"
    r"(?=(?P<index>\[[^\]]*\])?(?:\.(?P<attribute>\w+))?)"
)
_ATTRIBUTE = re.compile(
    r"(?<![\w.-])(?P<object>each\.value|local\.(?P<local>\w+)|[a-z]+)"
    r"(?=(?:\[[^\]]*\])?\.(?P<attribute>\w+))"
)


def faults(blocks: Iterable[Block], schema: Schema) -> list[str]:
    """Find what is wrong with a configuration.

    Args:
        blocks: its top-level blocks.
        schema: the content of `provider_schema.json`.

    Returns:
        One sentence for each fault, with file, block and name; empty where nothing is wrong.
    """
    configuration = list(blocks)
    found = list(_repeated(configuration))
    for block in configuration:
        found += _block_faults(block, schema)
    found += _reference_faults(configuration, schema)
    found += _attribute_faults(configuration)
    found += _provider_faults(configuration, schema)
    return found


def _repeated(blocks: Sequence[Block]) -> Iterator[str]:
    seen: set[tuple[str, ...]] = set()
    for block in blocks:
        address = (block.type, *block.labels)
        if block.labels and address in seen:
            yield f"{block} is declared twice"
        seen.add(address)


def _block_faults(block: Block, schema: Schema) -> list[str]:
    if len(block.labels) != _LABEL_COUNTS.get(block.type, 0):
        return [f"{block} has {len(block.labels)} labels"]
    if block.type == "locals":
        return [f"{block} has a block {name}" for name in block.body.blocks]
    if block.type in _OWN_BLOCKS:
        expected: Schema | None = _OWN_BLOCKS[block.type]
        if block.type == "terraform":
            requirements = block.body.blocks.pop("required_providers", [])
            try:
                return _body_faults(block.body, expected, str(block))
            finally:
                block.body.blocks["required_providers"] = requirements
    elif block.type == "provider":
        expected = schema["providers"].get(block.labels[0])
    elif block.type in ("resource", "data"):
        expected = _type_schema(block.type, block.labels[0], schema)
        if expected is not None:
            expected = {
                "arguments": {**expected["arguments"], **_META_ARGUMENTS["arguments"]},
                "blocks": {**expected["blocks"], **_META_ARGUMENTS["blocks"]},
            }
    else:
        return [f"{block} is a block of an unknown type"]
    if expected is None:
        return [f"{block} is not a type of the provider"]
    return _body_faults(block.body, expected, str(block))


def _type_schema(kind: str, type_name: str, schema: Schema) -> Schema | None:
    if kind == "resource" and type_name in _BUILT_IN_TYPES:
        return _BUILT_IN_TYPES[type_name]
    return schema[kind].get(type_name)


def _body_faults(body: Body, expected: Schema, where: str) -> list[str]:
    found: list[str] = []
    blocks, dynamic = _with_dynamic_blocks(body, where, found)
    for name, value in body.arguments.items():
        argument = expected["arguments"].get(name)
        if argument is None:
            kind = "is a block" if name in expected["blocks"] else "is not known"
            found.append(f"{where}: the argument {name} {kind}")
        elif not _fits(value, argument["type"]):
            found.append(f"{where}: {name} = {value!r} is not of type {argument['type']}")
    for name, nested in blocks.items():
        block = expected["blocks"].get(name)
        if block is None:
            kind = "is an argument" if name in expected["arguments"] else "is not known"
            found.append(f"{where}: the block {name} {kind}")
            continue
        if not block["repeatable"] and len(nested) > 1:
            found.append(f"{where}: the block {name} is given {len(nested)} times")
        for item in nested:
            found += _body_faults(item, block, f"{where}: {name}")
    for name, argument in expected["arguments"].items():
        if argument["required"] and name not in body.arguments:
            found.append(f"{where}: the required argument {name} is missing")
    for name, block in expected["blocks"].items():
        if block["required"] and name not in blocks and name not in dynamic:
            found.append(f"{where}: the required block {name} is missing")
    return found


def _with_dynamic_blocks(
    body: Body, where: str, found: list[str]
) -> tuple[dict[str, list[Body]], set[str]]:
    blocks = {
        name: [block.body for block in nested]
        for name, nested in body.blocks.items()
        if name != "dynamic"
    }
    dynamic: set[str] = set()
    for block in body.blocks.get("dynamic", []):
        content = block.body.blocks.get("content", [])
        if len(block.labels) != 1 or "for_each" not in block.body.arguments or len(content) != 1:
            found.append(f"{where}: a dynamic block needs one label, for_each and one content")
            continue
        dynamic.add(block.labels[0])
        blocks.setdefault(block.labels[0], []).append(content[0].body)
    return blocks, dynamic


def _fits(value: Any, type_name: str) -> bool:
    if type_name == "any" or (isinstance(value, str) and not value.startswith('"')):
        return True
    text = value[1:-1] if isinstance(value, str) else None
    if text is not None and "${" in text:
        return type_name in ("string", "number", "bool")
    match type_name.partition("(")[0]:
        case "string":
            return not isinstance(value, list | dict)
        case "bool":
            return isinstance(value, bool) or text in ("true", "false")
        case "number":
            if text is not None:
                return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is not None
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "list" | "blocks":
            return isinstance(value, list)
        case "map":
            return isinstance(value, dict)
    return isinstance(value, dict)


def _reference_faults(blocks: Sequence[Block], schema: Schema) -> Iterator[str]:
    variables = {block.labels[0] for block in blocks if block.type == "variable"}
    local_values = {
        name for block in blocks if block.type == "locals" for name in block.body.arguments
    }
    addresses = {
        (block.type, *block.labels): block for block in blocks if block.type in ("resource", "data")
    }
    used: set[tuple[str, str]] = set()
    for block in blocks:
        for match in references(block.body):
            kind = "data" if match["root"] else "resource"
            type_name, name, attribute = match["type"], match["name"], match["attribute"]
            where = f"{block}: {match[0]}"
            if type_name in ("var", "local"):
                used.add((type_name, name))
                if name not in (variables if type_name == "var" else local_values):
                    yield f"{where} is not declared"
            elif type_name in _FIXED_REFERENCES:
                if name not in _FIXED_REFERENCES[type_name]:
                    yield f"{where} does not exist"
                elif type_name in _REPEATED_BY and _REPEATED_BY[type_name] not in (
                    block.body.arguments
                ):
                    yield f"{where} stands where there is no {_REPEATED_BY[type_name]}"
            elif (kind, type_name, name) in addresses:
                is_repeated = _is_repeated(addresses[kind, type_name, name])
                if is_repeated != bool(match["index"]) and (attribute or match["index"]):
                    yield f"{where} {'lacks an' if is_repeated else 'has no use for an'} index"
                type_schema = _type_schema(kind, type_name, schema)
                if attribute and type_schema and attribute not in type_schema["attributes"]:
                    yield f"{where} is not an attribute of {type_name}"
            elif "_" in type_name:
                yield f"{where} refers to nothing in the configuration"
    for name in sorted(variables):
        if ("var", name) not in used:
            yield f"the variable {name} is never used"
    for name in sorted(local_values):
        if ("local", name) not in used:
            yield f"the local value {name} is never used"


def _is_repeated(block: Block) -> bool:
    return not block.body.arguments.keys().isdisjoint(_REPEATED_BY.values())


def _attribute_faults(blocks: Sequence[Block]) -> Iterator[str]:
    known = ObjectAttributes(blocks)
    used: set[str] = set()
    for block in blocks:
        repeated_over = block.body.arguments.get("for_each")
        each = known.of_expression(repeated_over) if isinstance(repeated_over, str) else None
        for text in block.body.expressions():
            variables = known.of_loop_variables(text)
            for match in _matches(_ATTRIBUTE, text):
                if match["object"] == "each.value":
                    attributes = each
                elif match["local"]:
                    attributes = known.of_local(match["local"])
                else:
                    attributes = variables.get(match["object"])
                if attributes is None:
                    continue
                used.add(match["attribute"])
                if match["attribute"] not in attributes:
                    yield f"{block}: {match['object']} has no attribute {match['attribute']}"
    for name, attributes in known.all().items():
        for attribute in sorted(attributes - used):
            yield f"the attribute {attribute} of local.{name} is never used"


def references(body: Body) -> Iterator[re.Match[str]]:
    """Find the references in a body's expressions, also inside the templates of strings.

    Args:
        body: the body.

    Yields:
        Matches with the groups root ("data." or None), type, name and attribute (or None).
    """
    for text in body.expressions():
        yield from _matches(_REFERENCE, text)


# The tests check the same texts many times, each time with one other mistake among them.
@cache
def _matches(pattern: re.Pattern[str], text: str) -> tuple[re.Match[str], ...]:
    return tuple(pattern.finditer(_code_of(text)))


def _code_of(expression: str) -> str:
    """Blank the literal parts of strings, so that only code is left."""
    code: list[str] = []
    open_marks: list[str] = []
    index = 0
    while index < len(expression):
        character = expression[index]
        in_string = bool(open_marks) and open_marks[-1] == '"'
        if in_string and character == "\\":
            index += 2
            continue
        if character == '"':
            open_marks.pop() if in_string else open_marks.append('"')
            code.append(" ")
        elif in_string and expression.startswith("${", index):
            open_marks.append("{")
            code.append(" ")
            index += 1
        elif not in_string and character in "{}":
            if character == "{":
                open_marks.append("{")
            elif open_marks:
                open_marks.pop()
            code.append(" ")
        else:
            code.append(" " if in_string else character)
        index += 1
    return "".join(code)


def _provider_faults(blocks: Sequence[Block], schema: Schema) -> Iterator[str]:
    required = {
        name
        for block in blocks
        if block.type == "terraform"
        for nested in block.body.blocks.get("required_providers", [])
        for name in nested.body.arguments
    }
    for name in sorted(required - set(schema["providers"])):
        yield f"the required provider {name} has no schema"
    for block in blocks:
        provider = block.labels[0].partition("_")[0] if block.type in ("resource", "data") else None
        if provider and provider != "terraform" and provider not in required:
            yield f"{block}: its provider {provider} is not in required_providers"
