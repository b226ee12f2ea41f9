"""A provider that knows only the published schema, so that the real Terraform can plan with it.

The google provider cannot be downloaded where the tests run. Terraform itself can: it is given a
provider that answers with the extracted schema, takes every configuration that fits it, and plans
what the configuration says, with attributes that only Google knows as "known after apply". So
Terraform's own checks of types, references, expressions, validations and preconditions are real;
the provider's further checks of values, and Google's, are not made.

`provider_schema.json` is what HashiCorp published of the types in use in the packages of PyPI that
it names: each resource's arguments, blocks and attributes in the package's jsii assembly.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Generator, Mapping
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import msgpack
from google.protobuf import message_factory

PROJECT_NUMBER = "123456789012"

_UNKNOWN = msgpack.ExtType(0, b"\x00")
_SIMPLE_TYPES = frozenset({"string", "number", "bool"})


# Their classes are made at import, so that a type checker does not see them.
descriptor_pb2: Any = import_module("google.protobuf.descriptor_pb2")
descriptor_pool: Any = import_module("google.protobuf.descriptor_pool")

SERVICE = "tfplugin6.Provider"
NESTING_LIST = 2

# Source: "Terraform Plugin Protocol", version 6 (tfplugin6.proto). Fields that are neither read nor
# written here are left out, which the wire format allows.
_FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Empty": {},
    "DynamicValue": {"msgpack": (1, "bytes")},
    "Attribute": {
        "name": (1, "string"),
        "type": (2, "bytes"),
        "required": (4, "bool"),
        "optional": (5, "bool"),
        "computed": (6, "bool"),
    },
    "Block": {
        "attributes": (2, "repeated Attribute"),
        "block_types": (3, "repeated NestedBlock"),
    },
    "NestedBlock": {
        "type_name": (1, "string"),
        "block": (2, "Block"),
        "nesting": (3, "int64"),
        "min_items": (4, "int64"),
        "max_items": (5, "int64"),
    },
    "Schema": {"block": (2, "Block")},
    "NamedSchema": {"key": (1, "string"), "value": (2, "Schema")},
    "SchemaResponse": {
        "provider": (1, "Schema"),
        "resource_schemas": (2, "repeated NamedSchema"),
        "data_source_schemas": (3, "repeated NamedSchema"),
    },
    "TypedRequest": {"type_name": (1, "string"), "config": (2, "DynamicValue")},
    "PlanRequest": {"type_name": (1, "string"), "proposed_new_state": (3, "DynamicValue")},
    "StateResponse": {"state": (1, "DynamicValue")},
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="tfplugin6", package="tfplugin6", syntax="proto3"
    )
    for message_name, fields in _FIELDS.items():
        message = file.message_type.add(name=message_name)
        for name, (number, type_name) in fields.items():
            repeated = type_name.startswith("repeated ")
            type_name = type_name.removeprefix("repeated ")
            field = message.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if type_name in _FIELDS:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".tfplugin6.{type_name}"
            else:
                field.type = getattr(field, f"TYPE_{type_name.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tfplugin6.{name}"))
        for name in _FIELDS
    }


MESSAGES: Mapping[str, Any] = _classes()


@contextmanager
def reattachable_providers(schema: Mapping[str, Any], directory: Path) -> Generator[str]:
    """Serve a schema's providers to the Terraform in a directory; yield TF_REATTACH_PROVIDERS."""
    addresses, servers = {}, []
    for name in schema["providers"]:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        server.add_generic_rpc_handlers((_provider(name, schema, directory),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        addresses[f"registry.terraform.io/hashicorp/{name}"] = {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    try:
        yield json.dumps(addresses)
    finally:
        for server in servers:
            server.stop(grace=None).wait()


def _provider(name: str, schema: Mapping[str, Any], directory: Path) -> grpc.GenericRpcHandler:
    resources, data = (
        {type_name: value for type_name, value in types.items() if type_name.startswith(f"{name}_")}
        for types in (schema["resource"], schema["data"])
    )
    schemas = MESSAGES["SchemaResponse"](
        provider=_schema_message(schema["providers"][name]),
        resource_schemas=_named_schemas(resources),
        data_source_schemas=_named_schemas(data),
    )
    empty = MESSAGES["Empty"]()
    methods: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
        "GetProviderSchema": ("Empty", lambda _: schemas),
        "ValidateProviderConfig": ("Empty", lambda _: empty),
        "ValidateResourceConfig": ("Empty", lambda _: empty),
        "ValidateDataResourceConfig": ("Empty", lambda _: empty),
        "ConfigureProvider": ("Empty", lambda _: empty),
        "StopProvider": ("Empty", lambda _: empty),
        "PlanResourceChange": ("PlanRequest", partial(_plan, resources)),
        "ReadDataSource": ("TypedRequest", partial(_read, directory)),
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            method: grpc.unary_unary_rpc_method_handler(
                lambda request, _, answer=answer: answer(request),
                request_deserializer=MESSAGES[request_name].FromString,
                response_serializer=lambda response: response.SerializeToString(),
            )
            for method, (request_name, answer) in methods.items()
        },
    )


def _plan(resources: Mapping[str, Any], request: Any) -> Any:
    planned = _unpacked(request.proposed_new_state)
    if planned is not None:
        for name in _computed(resources[request.type_name]):
            if planned.get(name) is None:
                planned[name] = _UNKNOWN
    return _state_response(planned)


def _read(directory: Path, request: Any) -> Any:
    state = _unpacked(request.config)
    match request.type_name:
        case "google_project":
            state["number"] = PROJECT_NUMBER
            state["id"] = f"projects/{state['project_id']}"
        case "archive_file":
            state["output_md5"] = state["id"] = _write_archive(directory, state)
        case other:
            raise NotImplementedError(f"{other} cannot be read without Google")
    return _state_response(state)


def _write_archive(directory: Path, state: Mapping[str, Any]) -> str:
    """Write a zip file as the archive provider does, and return its digest."""
    path = directory / state["output_path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sorted(state["source"], key=lambda item: item["filename"]):
            archive.writestr(zipfile.ZipInfo(source["filename"]), source["content"])
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _computed(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the types of the attributes that the provider fills in."""
    return {
        name: type_name
        for name, type_name in schema.get("attributes", {}).items()
        if name == "id" or (name not in schema["arguments"] and name not in schema["blocks"])
    }


def _named_schemas(types: Mapping[str, Any]) -> list[Any]:
    return [
        MESSAGES["NamedSchema"](key=name, value=_schema_message(schema))
        for name, schema in types.items()
    ]


def _schema_message(schema: Mapping[str, Any]) -> Any:
    return MESSAGES["Schema"](block=_block_message(schema))


def _block_message(schema: Mapping[str, Any]) -> Any:
    block = MESSAGES["Block"]()
    arguments, computed = schema["arguments"], _computed(schema)
    types = {**computed, **{name: argument["type"] for name, argument in arguments.items()}}
    for name, type_name in types.items():
        is_required = name in arguments and arguments[name]["required"]
        block.attributes.add(
            name=name,
            type=_type_json(type_name),
            required=is_required,
            optional=name in arguments and not is_required,
            computed=name in computed,
        )
    for name, nested in schema["blocks"].items():
        block.block_types.add(
            type_name=name,
            block=_block_message(nested),
            nesting=NESTING_LIST,
            min_items=int(nested["required"]),
            max_items=0 if nested["repeatable"] else 1,
        )
    return block


def _type_json(type_name: str) -> bytes:
    kind, _, element = type_name.removesuffix(")").partition("(")
    if element:
        return json.dumps([kind, element]).encode()
    return json.dumps(kind if kind in _SIMPLE_TYPES else "dynamic").encode()


def _unpacked(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack) if value.msgpack else None


def _state_response(state: Any) -> Any:
    packed = MESSAGES["DynamicValue"](msgpack=msgpack.packb(state))
    return MESSAGES["StateResponse"](state=packed)
