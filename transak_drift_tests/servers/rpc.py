"""gRPC methods from plain functions on proto-plus messages; requests are recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import proto

from transak_drift_tests.servers.faults import Faults, meet
from transak_drift_tests.servers.status import RefusedError

Method = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call that arrived."""

    method: str
    request: Any
    deadline_seconds: float | None


class Recorder:
    """The calls that arrived, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[RecordedCall] = []

    def add(self, call: RecordedCall) -> None:
        """Write a call down."""
        with self._lock:
            self._calls.append(call)

    def calls(self, method: str | None = None) -> list[RecordedCall]:
        """Return the calls of a method, or all."""
        with self._lock:
            return [call for call in self._calls if method in (None, call.method)]

    def requests(self, method: str) -> list[Any]:
        """Return the requests of a method."""
        return [call.request for call in self.calls(method)]

    def clear(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()


def service_handler(
    service: str,
    methods: Mapping[str, tuple[type, Method]],
    faults: Faults,
    recorder: Recorder,
    lock: threading.RLock,
) -> grpc.GenericRpcHandler:
    """Return the handler of a service."""
    handlers = {
        name: _handler(name, request_type, method, faults, recorder, lock)
        for name, (request_type, method) in methods.items()
    }
    return grpc.method_handlers_generic_handler(service, handlers)


def _handler(
    name: str,
    request_type: Any,
    method: Method,
    faults: Faults,
    recorder: Recorder,
    lock: threading.RLock,
) -> grpc.RpcMethodHandler:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        remaining = context.time_remaining()
        recorder.add(RecordedCall(name, request, remaining))
        fault = faults.next_of(name)
        try:
            meet(fault, work_is_done=False)
            with lock:
                response = method(request)
            meet(fault, work_is_done=True)
        except RefusedError as refusal:
            context.abort(refusal.code, refusal.message)
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
