"""The real functions framework, serving the function on loopback, and Eventarc's events for it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent

from transak_drift.cloud_function.drift_message_handler import MESSAGE_PUBLISHED
from transak_drift_tests.servers.ports import free_port, wait_for_port

TOPIC = "projects/af-finanzen/topics/ps-transak-i1-train-trigger"
SUBSCRIPTION = "projects/af-finanzen/subscriptions/eventarc-europe-west6-cf-transak-i1-sub-123"
ATTRIBUTES = {"logging.googleapis.com/timestamp": "2026-05-02T00:14:06.991203Z"}
"""What a log sink adds to the messages that it publishes."""
TAKEN = 200
AGAIN = 500
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class FunctionServer:
    """The function as a process in its archive, which takes CloudEvents over HTTP."""

    port: int
    log_file: Path

    def post(self, event: CloudEvent, *, structured: bool = False) -> int:
        """Deliver an event, structured or only its data as from Eventarc; return the HTTP status.

        200 is an acknowledgement, anything else asks for another delivery.
        """
        headers, body = to_structured(event) if structured else to_binary(event)
        address = f"http://127.0.0.1:{self.port}/"
        return requests.post(address, data=body, headers=headers, timeout=60).status_code

    def deliver(self, event: CloudEvent, answer: int = TAKEN) -> dict[str, Any]:
        """Deliver an event, and return the newest log entry about it."""
        assert self.post(event) == answer
        return self.entries(event["id"])[-1]

    def entries(self, *message_ids: str) -> list[dict[str, Any]]:
        """Return the structured log entries about messages, in order."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry.get("message_id") in message_ids]


@contextmanager
def function_server(
    archive: Path, log_file: Path, environment: Mapping[str, str]
) -> Generator[FunctionServer]:
    port = free_port()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "functions_framework"),
                *("--source", "main.py", "--target", "handle_drift_message"),
                *("--signature-type", "cloudevent"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=archive,
            env={**os.environ, "PYTHONPATH": str(archive), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_port(port, process, log_file)
        yield FunctionServer(port, log_file)
    finally:
        process.terminate()
        process.wait(timeout=30)


def pubsub_event(
    body: bytes,
    *,
    message_id: str | None = None,
    topic: str = TOPIC,
    publish_time: str | None = None,
) -> CloudEvent:
    """Return the event that delivers a message; by default a new one that is published now."""
    number = message_id or str(10_000 + next(_numbers))
    published = publish_time or datetime.now(UTC).isoformat()
    message = {
        "data": base64.b64encode(body).decode("ascii"),
        "attributes": ATTRIBUTES,
        "messageId": number,
        "message_id": number,
        "publishTime": published,
        "publish_time": published,
    }
    return event_with_data(
        {"message": message, "subscription": SUBSCRIPTION}, event_id=number, topic=topic
    )


def event_with_data(
    data: Any, *, event_id: str = "1", topic: str = TOPIC, event_type: str = MESSAGE_PUBLISHED
) -> CloudEvent:
    """Return an event with any data."""
    return CloudEvent(
        {
            "id": event_id,
            "source": f"//pubsub.googleapis.com/{topic}",
            "type": event_type,
            "time": "2026-05-02T00:10:00.123Z",
            "datacontenttype": "application/json",
        },
        data,
    )
