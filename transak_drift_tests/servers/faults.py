"""Faults to order: the next calls of a method are refused, delayed, or cut off."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from transak_drift_tests.servers.status import RefusedError


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call."""

    code: grpc.StatusCode | None = None
    message: str = "injected by the test"
    held_until: threading.Event | None = None
    after_the_work: bool = False
    cut: Callable[[], object] | None = None


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

    def next_of(self, method: str) -> Fault | None:
        """Take the fault of a call that arrived."""
        with self._lock:
            waiting = self._waiting[method]
            return waiting.popleft() if waiting else None


def meet(fault: Fault | None, *, work_is_done: bool) -> None:
    """Let a call meet its fault."""
    if fault is None or fault.after_the_work != work_is_done:
        return
    if fault.cut is not None:
        fault.cut()
    if fault.held_until is not None:
        fault.held_until.wait(timeout=60)
    if fault.code is not None:
        raise RefusedError(fault.code, fault.message)
