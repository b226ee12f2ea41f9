"""Long-running operations: a call answers at once, and its work is done at a later look."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.longrunning import operations_pb2

from transak_drift_tests.servers.status import RefusedError, not_found


@dataclass(slots=True)
class _Pending:
    work: Callable[[], Any]
    looks_left: int
    operation: operations_pb2.Operation


class Operations:
    """google.longrunning.Operations."""

    def __init__(self, looks: int = 1) -> None:
        self.looks = looks
        self._operations: dict[str, _Pending] = {}
        self._numbers = itertools.count(1)
        self._failures: list[RefusedError] = []

    def fail_next(self, code: grpc.StatusCode, message: str) -> None:
        """Let the next operation end with an error in place of its work."""
        self._failures.append(RefusedError(code, message))

    def start(self, parent: str, work: Callable[[], Any]) -> operations_pb2.Operation:
        """Start an operation."""
        name = f"{parent}/operations/{next(self._numbers)}"
        operation = operations_pb2.Operation(name=name)
        pending = _Pending(work, self.looks, operation)
        self._operations[name] = pending
        if pending.looks_left == 0:
            self._finish(pending)
        return operation

    def get(self, request: Any) -> operations_pb2.Operation:
        """GetOperation."""
        pending = self._operations.get(request.name)
        if pending is None:
            raise not_found(request.name)
        self._look(pending)
        return pending.operation

    def go_on(self) -> None:
        """Let every operation go on by one look: the work goes on though nobody looks at it."""
        for pending in self._operations.values():
            self._look(pending)

    def _look(self, pending: _Pending) -> None:
        if not pending.operation.done:
            pending.looks_left -= 1
            if pending.looks_left <= 0:
                self._finish(pending)

    def _finish(self, pending: _Pending) -> None:
        try:
            if self._failures:
                raise self._failures.pop(0)
            resource = pending.work()
        except RefusedError as refusal:
            pending.operation.error.code = refusal.code.value[0]
            pending.operation.error.message = refusal.message
        else:
            pending.operation.response.Pack(type(resource).pb(resource))
        pending.operation.done = True
