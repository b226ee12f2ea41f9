"""Methods of a gRPC service by the types of google-cloud-pubsub, and the errors they answer with.

google-cloud-pubsub has no generated server classes; gRPC's generic handlers need none.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import proto

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext
Method = Callable[[Any, Context], Awaitable[proto.Message | None]]


class PubSubError(Exception):
    """A request that is answered with a gRPC error status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_argument(message: str) -> PubSubError:
    """Return the error of a request that can never succeed."""
    return PubSubError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> PubSubError:
    """Return the error of a request that names a resource which does not exist."""
    return PubSubError(grpc.StatusCode.NOT_FOUND, message)


def already_exists(message: str) -> PubSubError:
    """Return the error of a creation under a name that is taken."""
    return PubSubError(grpc.StatusCode.ALREADY_EXISTS, message)


def service_handler(
    service: str, methods: Mapping[str, tuple[Method, type[proto.Message]]]
) -> grpc.GenericRpcHandler:
    """Return the handler of a service; gRPC answers UNIMPLEMENTED for its other methods.

    Args:
        service: full name of the service.
        methods: by name, the coroutine (None stands for `Empty`) and the type of its request.
    """
    return grpc.method_handlers_generic_handler(
        service,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _answering(name, method),
                request_deserializer=request_type.deserialize,
                response_serializer=_serialize,
            )
            for name, (method, request_type) in methods.items()
        },
    )


def _answering(name: str, method: Method) -> Method:
    async def answer(request: Any, context: Context) -> proto.Message | None:
        try:
            return await method(request, context)
        except PubSubError as error:
            await context.abort(error.code, error.message)
        except Exception:
            _log.exception("%s failed", name)
            await context.abort(
                grpc.StatusCode.INTERNAL,
                f"The embedded Pub/Sub server failed on {name}; see its log",
            )

    return answer


def _serialize(response: proto.Message | None) -> bytes:
    # google.protobuf.Empty has no fields, so its encoding has no bytes.
    return b"" if response is None else type(response).serialize(response)
