"""Registration of a service's methods with gRPC, by the proto-plus types that ship with the client.

google-cloud-pubsub has no generated server classes; gRPC's generic handlers need none.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
import proto
from google.protobuf.message import Message

from transak_drift.local.pubsub_server.errors import PubSubError

_log = logging.getLogger(__name__)

UnaryMethod = Callable[[Any, grpc.aio.ServicerContext], Awaitable[proto.Message | None]]
StreamMethod = Callable[
    [AsyncIterator[Any], grpc.aio.ServicerContext], AsyncIterator[proto.Message]
]
RequestType = type[proto.Message] | type[Message]


def unary_handler(method: UnaryMethod, request_type: RequestType) -> grpc.RpcMethodHandler:
    """Return the handler of a method with one request and one answer (None: `Empty`)."""

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> proto.Message | None:
        try:
            return await method(request, context)
        except PubSubError as error:
            await context.abort(error.code, error.message)
        except Exception:
            _log.exception("%s failed", request_type.__name__)
            await context.abort(
                grpc.StatusCode.INTERNAL,
                f"The embedded Pub/Sub server failed on {request_type.__name__}; see its log",
            )

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=_deserializer(request_type), response_serializer=_serialize
    )


def stream_handler(method: StreamMethod, request_type: RequestType) -> grpc.RpcMethodHandler:
    """Return the handler of a method with a stream of requests and a stream of answers."""

    async def answer(
        requests: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[proto.Message]:
        try:
            async for response in method(requests, context):
                yield response
        except PubSubError as error:
            await context.abort(error.code, error.message)
        except Exception:
            _log.exception("%s failed", request_type.__name__)
            await context.abort(
                grpc.StatusCode.INTERNAL,
                f"The embedded Pub/Sub server failed on {request_type.__name__}; see its log",
            )

    return grpc.stream_stream_rpc_method_handler(
        answer, request_deserializer=_deserializer(request_type), response_serializer=_serialize
    )


def service_handler(
    service_name: str, handlers: Mapping[str, grpc.RpcMethodHandler]
) -> grpc.GenericRpcHandler:
    """Return the handler of a service; gRPC answers UNIMPLEMENTED for its other methods."""
    return grpc.method_handlers_generic_handler(service_name, handlers)


def _deserializer(request_type: RequestType) -> Callable[[bytes], Any]:
    if issubclass(request_type, proto.Message):
        return request_type.deserialize
    return request_type.FromString


def _serialize(response: proto.Message | None) -> bytes:
    if response is None:
        # google.protobuf.Empty has no fields, so its encoding has no bytes.
        return b""
    return type(response).serialize(response)
