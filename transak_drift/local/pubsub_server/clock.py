"""The server's time, given from outside so that the lease rules are tested without waiting."""

from __future__ import annotations

import time
from typing import Protocol

MICROSECONDS = 1_000_000
"""Microseconds in a second; all times in the storage are whole microseconds since the epoch."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Return the microseconds since 1970-01-01T00:00:00Z."""
        ...


class SystemClock:
    """The wall clock: leases are stored as points in time and must outlive the process."""

    def now(self) -> int:
        """Return the microseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1000
