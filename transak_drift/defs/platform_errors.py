"""A platform's errors, as Dagster shows them: the message for a person, without a traceback."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from transak_drift.platform import PlatformError


@contextmanager
def as_failure() -> Generator[None]:
    """Turn a `PlatformError` into a Dagster failure.

    Raises:
        dagster.Failure: with the error's message; not retried, since a person has to act.
    """
    try:
        yield
    except PlatformError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
