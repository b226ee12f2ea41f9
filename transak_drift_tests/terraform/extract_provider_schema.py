"""Extract the schemas of the resource types in terraform/ from the providers' published packages.

The packages are `cdktf-cdktf-provider-google` and `cdktf-cdktf-provider-archive` on PyPI, in which
HashiCorp published the whole schema of one provider version as a jsii assembly: each resource's
`...Config` interface has its arguments, their types, whether they are optional, and in the link to
the registry their Terraform names. To extract anew, after a new resource type in terraform/:

    uv pip install --no-deps cdktf-cdktf-provider-google==16.12.1
    uv pip install --no-deps cdktf-cdktf-provider-archive==11.0.1
    python -m transak_drift_tests.terraform.extract_provider_schema
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from transak_drift_tests.terraform.terraform_command import SCHEMA_FILE, TERRAFORM_DIRECTORY

PACKAGES: Mapping[str, tuple[str, str]] = {
    "google": ("cdktf-cdktf-provider-google", "16.12.1"),
    "archive": ("cdktf-cdktf-provider-archive", "11.0.1"),
}

_ANCHOR = re.compile(r"/docs/[a-z-]+(?:/\w+)?#(\w+) ")
_RUNTIME_TYPES: Mapping[str, str] = {
    "cdktf.IResolvable": "bool",
    "cdktf.StringMap": "map(string)",
    "cdktf.BooleanMap": "map(bool)",
    "cdktf.NumberMap": "map(number)",
}


def installed(provider: str) -> bool:
    """Tell whether the pinned package of a provider is installed."""
    package, version = PACKAGES[provider]
    try:
        return distribution(package).version == version
    except PackageNotFoundError:
        return False


@cache
def _assembly(provider: str) -> tuple[str, str, dict[str, Any]]:
    package, version = PACKAGES[provider]
    if not installed(provider):
        raise LookupError(f"{package}=={version} is not installed")
    files = distribution(package).files or []
    archive = next(str(file.locate()) for file in files if file.name.endswith(".jsii.tgz"))
    with tarfile.open(archive) as members:
        manifest, assembly = (
            json.loads(member.read())
            for name in ("package/package.json", "package/.jsii")
            if (member := members.extractfile(name))
        )
    return assembly["name"], manifest["cdktf"]["provider"]["version"], assembly["types"]


def used_types() -> set[tuple[str, str]]:
    """List the types of terraform/ that are a provider's: ("resource" or "data", name)."""
    return {
        found
        for path in TERRAFORM_DIRECTORY.glob("*.tf")
        for found in re.findall(r'^(resource|data) "(\w+)"', path.read_text("utf-8"), re.MULTILINE)
        if not found[1].startswith("terraform_")
    }


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _terraform_name(member: Mapping[str, Any]) -> str:
    docs = member.get("docs", {})
    anchor = _ANCHOR.search(f"{docs.get('summary', '')} {docs.get('remarks', '')}")
    return anchor[1] if anchor else _snake_case(member["name"])


def _shape(member_type: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return a member's type and, for a block, the fully qualified name of its interface."""
    if "union" in member_type:
        others = [
            part for part in member_type["union"]["types"] if part.get("fqn") != "cdktf.IResolvable"
        ]
        return _shape(others[0])
    if "primitive" in member_type:
        name = member_type["primitive"]
        return {"boolean": "bool"}.get(name, name), None
    if "collection" in member_type:
        kind = "list" if member_type["collection"]["kind"] == "array" else "map"
        element, interface = _shape(member_type["collection"]["elementtype"])
        return ("blocks" if interface else f"{kind}({element})"), interface
    if member_type["fqn"] in _RUNTIME_TYPES:
        return _RUNTIME_TYPES[member_type["fqn"]], None
    return "block", member_type["fqn"]


def _body(types: Mapping[str, Any], interface: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for member in types[interface].get("properties", []):
        name = _terraform_name(member)
        required = not member.get("optional", False)
        kind, nested = _shape(member["type"])
        is_block = nested is not None and nested in types
        if is_block and member.get("docs", {}).get("summary", "").endswith("block."):
            blocks[name] = {
                "required": required,
                "repeatable": kind == "blocks",
                **_body(types, str(nested)),
            }
        else:
            arguments[name] = {"type": kind, "required": required}
    return {"arguments": arguments, "blocks": blocks}


def _attributes(types: Mapping[str, Any], resource_class: str) -> dict[str, str]:
    attributes = {"id": "string"}
    for member in types[resource_class].get("properties", []):
        if not member.get("static") and not member["name"].endswith("Input"):
            attributes[_snake_case(member["name"])] = _shape(member["type"])[0]
    return attributes


def _resource_schema(provider: str, kind: str, type_name: str) -> dict[str, Any]:
    assembly, _, types = _assembly(provider)
    prefix = "data_" if kind == "data" else ""
    # The classes of the google provider drop its name, those of the archive provider its name too.
    short = type_name.removeprefix(f"{provider}_")
    module = _camel_case(f"{prefix}{provider}_{short}" if prefix else short)
    resource_class = f"{assembly}.{module}.{module[0].upper()}{module[1:]}"
    if f"{resource_class}Config" not in types:
        raise LookupError(f"the {provider} provider has no {kind} {type_name} ({resource_class})")
    body = _body(types, f"{resource_class}Config")
    return {**body, "attributes": _attributes(types, resource_class)}


def _provider_schema(provider: str) -> dict[str, Any]:
    assembly, _, types = _assembly(provider)
    return _body(types, f"{assembly}.provider.{provider.capitalize()}ProviderConfig")


def extract(wanted: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the content of `provider_schema.json` for pairs as of `used_types`."""
    schema: dict[str, Any] = {"providers": {}, "resource": {}, "data": {}}
    for provider, (package, package_version) in PACKAGES.items():
        schema["providers"][provider] = {
            "package": f"{package}=={package_version}",
            "version": _assembly(provider)[1],
            **_provider_schema(provider),
        }
    for kind, type_name in sorted(wanted):
        provider = type_name.partition("_")[0]
        schema[kind][type_name] = _resource_schema(provider, kind, type_name)
    return schema


def serialized(schema: Mapping[str, Any]) -> str:
    """Return the text of `provider_schema.json` for a schema."""
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write `provider_schema.json` for the types that terraform/ uses."""
    schema = extract(used_types())
    SCHEMA_FILE.write_text(serialized(schema), encoding="utf-8")
    sys.stdout.write(f"{SCHEMA_FILE} holds {len(schema['resource'])} resource types\n")


if __name__ == "__main__":
    main()
