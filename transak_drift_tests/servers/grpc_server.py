"""The gRPC servers on loopback, made of plain functions on messages.

Calls are recorded, and faults can be ordered: the next calls of a method are refused, delayed, or
cut off.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import grpc
import proto
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

# The module of an API's types, in which a method's request is `<method>Request`, and the methods.
Methods = tuple[ModuleType, Mapping[str, Callable[[Any], Any]]]


class RefusedError(Exception):
    """A call that is answered with a status code."""

    def __init__(self, code: grpc.StatusCode, message: str, detail: Message | None = None) -> None:
        self.code = code
        self.message = message
        self.detail = detail
        super().__init__(message)

    @property
    def status(self) -> status_pb2.Status:
        """The refusal as a proto."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        if self.detail is not None:
            status.details.add().Pack(self.detail)
        return status


def not_found(name: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.NOT_FOUND, f"The resource {name} is not found.")


def already_exists(name: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"The resource {name} already exists.")


def invalid(message: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, message)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call."""

    code: grpc.StatusCode | None = None
    message: str = "injected by the test"
    held_until: threading.Event | None = None
    after_the_work: bool = False
    cut: Callable[[], object] | None = None

    def happen(self) -> None:
        if self.cut is not None:
            self.cut()
        if self.held_until is not None:
            self.held_until.wait(timeout=60)
        if self.code is not None:
            raise RefusedError(self.code, self.message)


class Faults:
    """The ordered faults by method, each used once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def order(self, method: str, *faults: Fault) -> None:
        """Let the next calls of a method meet these faults, in order."""
        with self._lock:
            self._waiting[method].extend(faults)

    def refuse(self, method: str, code: grpc.StatusCode, times: int, message: str = "busy") -> None:
        """Refuse the next calls of a method with one status."""
        self.order(method, *[Fault(code, message)] * times)

    def clear(self, method: str) -> None:
        """Forget the ordered faults of a method."""
        with self._lock:
            self._waiting[method].clear()

    def left(self, method: str) -> int:
        """Tell how many faults of a method no call has met yet."""
        with self._lock:
            return len(self._waiting[method])

    def next_of(self, method: str) -> Fault:
        """Take the fault of a call that arrived; without one nothing happens to it."""
        with self._lock:
            waiting = self._waiting[method]
            return waiting.popleft() if waiting else Fault()


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call that arrived."""

    method: str
    request: Any
    deadline_seconds: float | None


class GrpcServer:
    """Serves on a port of 127.0.0.1 as long as its block lasts.

    Attributes:
        endpoint: `127.0.0.1:port`, once started.
        faults: what is ordered for coming calls.
        calls: the calls that arrived, in order.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.faults = Faults()
        self.calls: list[RecordedCall] = []
        self._lock = threading.RLock()
        self._server: grpc.Server | None = None

    def services(self) -> Mapping[str, Methods]:
        """Return the methods by the service's name."""
        raise NotImplementedError

    def requests(self, method: str) -> list[Any]:
        """Return the requests of a method that arrived, in order."""
        return [call.request for call in self.calls if call.method == method]

    def start(self, port: int = 0) -> Self:
        """Listen."""
        server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
        for service, (types, methods) in self.services().items():
            handlers = {
                name: self._handler(name, getattr(types, f"{name}Request"), method)
                for name, method in methods.items()
            }
            server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler(service, handlers)]
            )
        self.endpoint = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        server.start()
        self._server = server
        return self

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _handler(
        self, name: str, request_type: Any, method: Callable[[Any], Any]
    ) -> grpc.RpcMethodHandler:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(RecordedCall(name, request, context.time_remaining()))
            fault = self.faults.next_of(name)
            try:
                if not fault.after_the_work:
                    fault.happen()
                with self._lock:
                    response = method(request)
                if fault.after_the_work:
                    fault.happen()
            except RefusedError as refused:
                context.abort_with_status(rpc_status.to_status(refused.status))
            return response

        is_plus = issubclass(request_type, proto.Message)
        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request_type.deserialize if is_plus else request_type.FromString,
            response_serializer=_serialize,
        )


def _serialize(response: Any) -> bytes:
    if response is None:
        # google.protobuf.Empty has no fields, so its encoding has no bytes.
        return b""
    if isinstance(response, proto.Message):
        return type(response).serialize(response)
    return response.SerializeToString()
