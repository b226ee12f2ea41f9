"""The messages of Terraform's plugin protocol that a provider needs to validate and plan.

Source: "Terraform Plugin Protocol", version 6 (tfplugin6.proto): field numbers and types. Fields
that are neither read nor written here are left out, which the wire format allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from google.protobuf import message_factory

# Their classes are made at import, so that a type checker does not see them.
descriptor_pb2: Any = import_module("google.protobuf.descriptor_pb2")
descriptor_pool: Any = import_module("google.protobuf.descriptor_pool")

SERVICE = "tfplugin6.Provider"
DIAGNOSTIC_ERROR = 1
NESTING_LIST = 2

_FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Empty": {},
    "DynamicValue": {"msgpack": (1, "bytes")},
    "Diagnostic": {"severity": (1, "int64"), "summary": (2, "string"), "detail": (3, "string")},
    "Attribute": {
        "name": (1, "string"),
        "type": (2, "bytes"),
        "required": (4, "bool"),
        "optional": (5, "bool"),
        "computed": (6, "bool"),
    },
    "Block": {
        "version": (1, "int64"),
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
    "Schema": {"version": (1, "int64"), "block": (2, "Block")},
    "NamedSchema": {"key": (1, "string"), "value": (2, "Schema")},
    "SchemaResponse": {
        "provider": (1, "Schema"),
        "resource_schemas": (2, "repeated NamedSchema"),
        "data_source_schemas": (3, "repeated NamedSchema"),
    },
    "TypedRequest": {"type_name": (1, "string"), "config": (2, "DynamicValue")},
    "PlanRequest": {"type_name": (1, "string"), "proposed_new_state": (3, "DynamicValue")},
    "PlanResponse": {
        "planned_state": (1, "DynamicValue"),
        "diagnostics": (4, "repeated Diagnostic"),
    },
    "ReadDataSourceResponse": {
        "state": (1, "DynamicValue"),
        "diagnostics": (2, "repeated Diagnostic"),
    },
}
_SCALARS = {
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
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
            if type_name in _SCALARS:
                field.type = _SCALARS[type_name]
            else:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".tfplugin6.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tfplugin6.{name}"))
        for name in _FIELDS
    }


MESSAGES: Mapping[str, Any] = _classes()
"""The message classes by name."""
