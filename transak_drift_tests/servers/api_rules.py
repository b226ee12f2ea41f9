"""Rules that every service of Vertex AI keeps: names, pages of lists, operations and jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import grpc
from google.cloud.aiplatform_v1.types import PipelineJob
from google.cloud.aiplatform_v1beta1.types import ModelMonitoringJob
from google.longrunning import operations_pb2

from transak_drift_tests.servers.grpc_server import (
    RefusedError,
    already_exists,
    invalid,
    not_found,
)

PROJECT_ID = "af-finanzen"
PROJECT_NUMBER = "123456789012"
LOCATION = "europe-west6"
PARENT = f"projects/{PROJECT_NUMBER}/locations/{LOCATION}"
MAX_PAGE = 3
_DISPLAY_NAME = re.compile(r'display_name="(?P<name>(?:[^"\\]|\\.)*)"')
Response = TypeVar("Response")
Job = TypeVar("Job", PipelineJob, ModelMonitoringJob)


def canonical(name: str, permission: str = "aiplatform.locations.get") -> str:
    """Return a resource name with the project's number; one location is served, by both names."""
    parts = name.split("/", 4)
    if len(parts) < 4 or parts[0] != "projects" or parts[2] != "locations":
        raise invalid(f"{name} is not the name of a resource in a location")
    if parts[1] not in (PROJECT_ID, PROJECT_NUMBER):
        raise RefusedError(
            grpc.StatusCode.PERMISSION_DENIED,
            f"Permission '{permission}' denied on resource "
            f"'//aiplatform.googleapis.com/{name}' (or it may not exist).",
        )
    if parts[3] != LOCATION:
        raise not_found(name)
    return "/".join([PARENT, *parts[4:]])


def page(
    response_type: Callable[..., Response],
    request: Any,
    *,
    largest: int = MAX_PAGE,
    **found: Sequence[Any],
) -> Response:
    """Answer with the page of a list, given by its field's name ("AIP-158: Pagination")."""
    ((field, items),) = found.items()
    try:
        start = int(request.page_token or 0)
    except ValueError:
        raise invalid(f"page_token {request.page_token!r} is not valid") from None
    if request.page_size < 0:
        raise invalid("page_size must not be negative")
    end = start + min(request.page_size or largest, largest)
    token = str(end) if end < len(items) else ""
    return response_type(**{field: items[start:end], "next_page_token": token})


def display_name_of(list_filter: str) -> str:
    """Return the name that a list's filter asks for; nothing else is known of filters."""
    match = _DISPLAY_NAME.fullmatch(list_filter)
    if match is None:
        raise invalid(f"Invalid filter: {list_filter}")
    return re.sub(r"\\(.)", r"\1", match["name"])


@dataclass(slots=True)
class _Pending:
    work: Callable[[], Any]
    looks_left: int
    operation: operations_pb2.Operation

    def look(self) -> None:
        self.looks_left -= 1
        if self.operation.done or self.looks_left > 0:
            return
        self.operation.done = True
        try:
            resource = self.work()
        except RefusedError as refused:
            self.operation.error.CopyFrom(refused.status)
        else:
            self.operation.response.Pack(type(resource).pb(resource))


class Operations:
    """google.longrunning.Operations: a call answers at once, its work is done at a later look."""

    def __init__(self) -> None:
        self.looks = 1
        self._operations: dict[str, _Pending] = {}
        self._failures: list[RefusedError] = []

    def fail_next(self, code: grpc.StatusCode, message: str) -> None:
        """Let the next operation end with an error in place of its work."""
        self._failures.append(RefusedError(code, message))

    def start(self, parent: str, work: Callable[[], Any]) -> operations_pb2.Operation:
        def fail() -> None:
            raise self._failures.pop(0)

        name = f"{parent}/operations/{len(self._operations) + 1}"
        operation = operations_pb2.Operation(name=name)
        self._operations[name] = _Pending(fail if self._failures else work, self.looks, operation)
        return operation

    def get(self, request: Any) -> operations_pb2.Operation:
        pending = self._operations.get(request.name)
        if pending is None:
            raise not_found(request.name)
        pending.look()
        return pending.operation

    def go_on(self) -> None:
        """Let every operation go on by one look: the work goes on though nobody looks at it."""
        for pending in self._operations.values():
            pending.look()


class JobService(Generic[Job]):
    """Jobs that go on, and at last end, whenever they are looked at.

    Attributes:
        looks: how often a new job must be looked at until it has ended.
    """

    pending: ClassVar[Any]
    running: ClassVar[Any]

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self._jobs: dict[str, Job] = {}
        self._looks_left: dict[str, int] = {}

    def jobs(self) -> list[Job]:
        return list(self._jobs.values())

    def finish_at_next_look(self, name: str) -> None:
        """Let a job end when it is looked at next."""
        if name in self._looks_left:
            self._looks_left[name] = 1

    def end(self, job: Job) -> None:
        """Do the work of a job, and give it the state in which it ends."""
        raise NotImplementedError

    def add_job(self, name: str, job: Job) -> Job:
        if name in self._jobs:
            raise already_exists(name)
        now = datetime.now(UTC)
        job.name, job.create_time, job.update_time = name, now, now
        job.state = self.pending
        self._jobs[name] = job
        self._looks_left[name] = self.looks
        return job

    def find_job(self, name: str) -> Job:
        job = self._jobs.get(canonical(name))
        if job is None:
            raise not_found(name)
        return job

    def look(self, job: Job) -> Job:
        if job.name in self._looks_left:
            self._looks_left[job.name] -= 1
            job.state = self.running
            if self._looks_left[job.name] <= 0:
                del self._looks_left[job.name]
                self.end(job)
        return job
