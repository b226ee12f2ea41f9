"""The real functions framework, serving the function on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import requests
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

_START_SECONDS = 60
_ANSWER_SECONDS = 60


class FunctionServer:
    """The function as a process in its archive, which takes CloudEvents over HTTP."""

    def __init__(self, archive: Path, log_file: Path, environment: Mapping[str, str]) -> None:
        self._log_file = log_file
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = probe.getsockname()
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "functions_framework"),
                    *("--source", "main.py", "--target", "handle_drift_message"),
                    *("--signature-type", "cloudevent"),
                    *("--host", self._address[0], "--port", str(self._address[1])),
                ],
                cwd=archive,
                env={**os.environ, "PYTHONPATH": str(archive), **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            Retrying(
                retry=retry_if_result(lambda is_ready: not is_ready),
                wait=wait_fixed(0.05),
                stop=stop_after_delay(_START_SECONDS),
            )(self._is_ready)
        except BaseException:
            self.close()
            raise

    def post(self, event: CloudEvent, *, structured: bool = False) -> int:
        """Deliver an event, structured or only its data as from Eventarc; return the HTTP status.

        200 is an acknowledgement, anything else asks for another delivery.
        """
        headers, body = to_structured(event) if structured else to_binary(event)
        return requests.post(
            f"http://{self._address[0]}:{self._address[1]}/",
            data=body,
            headers=headers,
            timeout=_ANSWER_SECONDS,
        ).status_code

    def log(self) -> list[dict[str, Any]]:
        """Return the structured log entries, in order."""
        lines = self._log_file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(self._log_file.read_text(encoding="utf-8"))
        try:
            socket.create_connection(self._address, timeout=1).close()
        except ConnectionRefusedError:
            return False
        return True
