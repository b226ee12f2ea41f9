"""Deadlines and retries of the calls to Vertex AI.

A write is as safe to repeat as a read: each creation names its id, so that the repetition of one
that had been done answers ALREADY_EXISTS, and an update sets fields to given values.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.api_core import exceptions
from google.api_core.operation import Operation
from google.api_core.retry import Retry, exponential_sleep_generator, if_exception_type

from transak_drift.platform import PlatformError

# "Vertex AI API errors" names these as temporary; a slow answer ends as DEADLINE_EXCEEDED.
RETRYABLE = (
    exceptions.ServiceUnavailable,
    exceptions.ResourceExhausted,
    exceptions.TooManyRequests,
    exceptions.DeadlineExceeded,
    exceptions.Aborted,
)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long calls may take.

    Args:
        attempt_seconds: deadline of one attempt.
        total_seconds: time in which attempts are repeated; less than the 60 s that Dagster gives
            the tick of a sensor.
        first_wait_seconds: wait before the second attempt; it doubles with each, with jitter.
        max_wait_seconds: no wait is longer.
        operation_seconds: how long a long-running operation is waited for.
        first_poll_seconds: wait before an operation or a job is looked at again; it grows.
        max_poll_seconds: no such wait is longer.
    """

    attempt_seconds: float = 20.0
    total_seconds: float = 45.0
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 15.0
    operation_seconds: float = 300.0
    first_poll_seconds: float = 0.5
    max_poll_seconds: float = 30.0

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments `retry` and `timeout` of a generated client's method."""
        retry = Retry(
            predicate=if_exception_type(*RETRYABLE),
            initial=self.first_wait_seconds,
            maximum=self.max_wait_seconds,
            multiplier=2.0,
            timeout=self.total_seconds,
        )
        # A number would be one deadline for all attempts, so that a first answer that never comes
        # would leave no time for a second attempt.
        return {
            "retry": retry,
            "timeout": functools.partial(_with_deadline, seconds=self.attempt_seconds),
        }

    def poll_waits(self) -> Any:
        """Return the waits between two looks at an operation or a job, in seconds, endlessly."""
        return exponential_sleep_generator(
            self.first_poll_seconds, self.max_poll_seconds, multiplier=1.5
        )

    def wait_for(self, operation: Operation, operations_client: Any, what: str) -> None:
        """Wait until a long-running operation is done.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: the operation failed.
            PlatformError: it is not done in time.
        """
        pending = operation.operation
        deadline = time.monotonic() + self.operation_seconds
        for wait in self.poll_waits():
            if pending.done:
                break
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{what} is not done after {self.operation_seconds:g} s; look at the operation "
                    f"{pending.name}, then run this again: it goes on from what is there"
                )
            time.sleep(wait)
            pending = operations_client.get_operation(pending.name, **self.options())
        if pending.HasField("error"):
            raise exceptions.from_grpc_status(pending.error.code, pending.error.message)


def _with_deadline(function: Callable[..., Any], *, seconds: float) -> Callable[..., Any]:
    @functools.wraps(function)
    def with_deadline(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{**kwargs, "timeout": seconds})

    return with_deadline
