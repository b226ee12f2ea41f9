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
from pathlib import Path
from typing import Any

import grpc
import msgpack
import proto

PROJECT_NUMBER = "123456789012"

_UNKNOWN = msgpack.ExtType(0, b"\x00")
_SIMPLE_TYPES = frozenset({"string", "number", "bool"})


SERVICE = "tfplugin6.Provider"
NESTING_LIST = 2

# Source: "Terraform Plugin Protocol", version 6 (tfplugin6.proto). Fields that are neither read nor
# written here are left out, which the wire format allows.
__protobuf__ = proto.module(package="tfplugin6")


class Empty(proto.Message):
    pass


class DynamicValue(proto.Message):
    msgpack = proto.Field(proto.BYTES, number=1)


class Attribute(proto.Message):
    name = proto.Field(proto.STRING, number=1)
    type_json = proto.Field(proto.BYTES, number=2)
    required = proto.Field(proto.BOOL, number=4)
    optional = proto.Field(proto.BOOL, number=5)
    computed = proto.Field(proto.BOOL, number=6)


class Block(proto.Message):
    attributes = proto.RepeatedField(Attribute, number=2)
    block_types = proto.RepeatedField("NestedBlock", number=3)


class NestedBlock(proto.Message):
    type_name = proto.Field(proto.STRING, number=1)
    block = proto.Field(Block, number=2)
    nesting = proto.Field(proto.INT64, number=3)
    min_items = proto.Field(proto.INT64, number=4)
    max_items = proto.Field(proto.INT64, number=5)


class Schema(proto.Message):
    block = proto.Field(Block, number=2)


class SchemaResponse(proto.Message):
    provider = proto.Field(Schema, number=1)
    resource_schemas = proto.MapField(proto.STRING, Schema, number=2)
    data_source_schemas = proto.MapField(proto.STRING, Schema, number=3)


class TypedRequest(proto.Message):
    type_name = proto.Field(proto.STRING, number=1)
    config = proto.Field(DynamicValue, number=2)


class PlanRequest(proto.Message):
    type_name = proto.Field(proto.STRING, number=1)
    proposed_new_state = proto.Field(DynamicValue, number=3)


class StateResponse(proto.Message):
    state = proto.Field(DynamicValue, number=1)


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
    schemas = SchemaResponse(
        provider=_schema(schema["providers"][name]),
        resource_schemas={name: _schema(value) for name, value in resources.items()},
        data_source_schemas={name: _schema(value) for name, value in data.items()},
    )
    methods: Mapping[str, tuple[type[proto.Message], Callable[[Any], proto.Message]]] = {
        "GetProviderSchema": (Empty, lambda _: schemas),
        "ValidateProviderConfig": (Empty, lambda _: Empty()),
        "ValidateResourceConfig": (Empty, lambda _: Empty()),
        "ValidateDataResourceConfig": (Empty, lambda _: Empty()),
        "ConfigureProvider": (Empty, lambda _: Empty()),
        "StopProvider": (Empty, lambda _: Empty()),
        "PlanResourceChange": (PlanRequest, partial(_plan, resources)),
        "ReadDataSource": (TypedRequest, partial(_read, directory)),
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            method: grpc.unary_unary_rpc_method_handler(
                lambda request, _, answer=answer: answer(request),
                request_deserializer=request_type.deserialize,
                response_serializer=lambda response: type(response).serialize(response),
            )
            for method, (request_type, answer) in methods.items()
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


def _schema(schema: Mapping[str, Any]) -> Schema:
    return Schema(block=_block(schema))


def _block(schema: Mapping[str, Any]) -> Block:
    arguments, computed = schema["arguments"], _computed(schema)
    types = {**computed, **{name: argument["type"] for name, argument in arguments.items()}}
    required = {name for name, argument in arguments.items() if argument["required"]}
    return Block(
        attributes=[
            Attribute(
                name=name,
                type_json=_type_json(type_name),
                required=name in required,
                optional=name in arguments.keys() - required,
                computed=name in computed,
            )
            for name, type_name in types.items()
        ],
        block_types=[
            NestedBlock(
                type_name=name,
                block=_block(nested),
                nesting=NESTING_LIST,
                min_items=int(nested["required"]),
                max_items=0 if nested["repeatable"] else 1,
            )
            for name, nested in schema["blocks"].items()
        ],
    )


def _type_json(type_name: str) -> bytes:
    kind, _, element = type_name.removesuffix(")").partition("(")
    if element:
        return json.dumps([kind, element]).encode()
    return json.dumps(kind if kind in _SIMPLE_TYPES else "dynamic").encode()


def _unpacked(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack) if value.msgpack else None


def _state_response(state: Any) -> StateResponse:
    return StateResponse(state=DynamicValue(msgpack=msgpack.packb(state)))
