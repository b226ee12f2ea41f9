"""Starts the embedded Pub/Sub server, or finds the one that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
from filelock import FileLock, Timeout
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from transak_drift.local.pubsub_server.server_files import (
    ServerAddress,
    health_service_name,
    hold_users_lock,
    read_server_address,
)
from transak_drift.platform import PlatformError

_HEALTH_CHECK_SECONDS = 2.0
_POLL_SECONDS = 0.05
_LOG_TAIL_CHARACTERS = 2000


class EmbeddedPubSubError(PlatformError):
    """The embedded Pub/Sub server could not be started."""


class EmbeddedPubSub(AbstractContextManager):
    """A running server, and this process's share in it.

    The server runs at least as long as this is open. A process that ends, in whatever way, gives
    its share back. The endpoint is as PUBSUB_EMULATOR_HOST takes it.
    """

    def __init__(self, address: ServerAddress, users_lock: int) -> None:
        self.endpoint = address.endpoint
        self.process_id = address.process_id
        self._users_lock: int | None = users_lock

    def close(self) -> None:
        """Give the share in the server back; it ends when it has had no users for a while."""
        if self._users_lock is not None:
            os.close(self._users_lock)
            self._users_lock = None

    def __exit__(self, *_: object) -> None:
        self.close()


def ensure_embedded_pubsub(
    state_directory: Path, *, grace_seconds: float = 15.0, start_timeout_seconds: float = 30.0
) -> EmbeddedPubSub:
    """Return the server of a state directory; start it when none runs.

    Of many processes that call this at once exactly one starts the server. The server is a process
    of its own session: it outlives the one that started it as long as others use it. Its port stays
    the same across restarts as long as no other program takes it. Nothing is put into the
    environment of this process.

    Args:
        state_directory: holds the server's data, log and locks; created when missing.
        grace_seconds: how long a server started by this call stays without users.
        start_timeout_seconds: how long to wait until the server answers.

    Raises:
        EmbeddedPubSubError: the server did not start in time; the message has the end of its log.
    """
    directory = state_directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    # Held before the server is looked for, so that one found now does not end as unused.
    users_lock = hold_users_lock(directory / "users")
    try:
        with FileLock(directory / "launch.lock", timeout=start_timeout_seconds):
            address = _find_server(directory)
            if address is None:
                address = _start_server(directory, grace_seconds, start_timeout_seconds)
    except Timeout as error:
        os.close(users_lock)
        raise EmbeddedPubSubError(
            f"{error.lock_file} was held for {start_timeout_seconds:g} s by another process that "
            "starts the embedded Pub/Sub server; end that process, then try again"
        ) from error
    except BaseException:
        os.close(users_lock)
        raise
    return EmbeddedPubSub(address, users_lock)


def _data_file(directory: Path) -> Path:
    return directory / "pubsub.sqlite3"


def _port_file(directory: Path) -> Path:
    return directory / "server.json"


def _find_server(directory: Path) -> ServerAddress | None:
    address = read_server_address(_port_file(directory))
    if address is None:
        return None
    # A proxy named in the environment must not get between two processes of one machine.
    with grpc.insecure_channel(address.endpoint, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=health_service_name(_data_file(directory))),
                timeout=_HEALTH_CHECK_SECONDS,
            )
        except grpc.RpcError:
            return None
    serving = health_pb2.HealthCheckResponse.SERVING
    return address if answer.status == serving else None


def _start_server(directory: Path, grace_seconds: float, timeout_seconds: float) -> ServerAddress:
    log_file = directory / "server.log"
    process = _spawn(directory, log_file, grace_seconds)
    # Reaps the server when it ends before this process does.
    threading.Thread(target=process.wait, name="embedded-pubsub-reaper", daemon=True).start()

    def failed() -> bool:
        # EX_TEMPFAIL: a server whose launcher died is about to serve the same data.
        return process.poll() not in (None, os.EX_TEMPFAIL)

    address = Retrying(
        retry=retry_if_result(lambda address: address is None and not failed()),
        wait=wait_fixed(_POLL_SECONDS),
        stop=stop_after_delay(timeout_seconds),
        retry_error_callback=lambda _: None,
    )(_find_server, directory)
    if address is None:
        status = process.poll()
        reason = f"ended with status {status}"
        if status in (None, os.EX_TEMPFAIL):
            reason = f"did not answer within {timeout_seconds:g} s"
        process.kill()
        log = log_file.read_text(encoding="utf-8", errors="replace")
        raise EmbeddedPubSubError(
            f"The embedded Pub/Sub server of {directory} {reason}. The end of its log "
            f"({log_file}):\n{log[-_LOG_TAIL_CHARACTERS:].strip() or '(empty)'}"
        )
    return address


def _spawn(directory: Path, log_file: Path, grace_seconds: float) -> subprocess.Popen[bytes]:
    package_root = str(Path(__file__).resolve().parents[2])
    search_path = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    with log_file.open("ab") as log:
        return subprocess.Popen(
            # -P: the state directory, which is the working directory, never provides code.
            [
                *(sys.executable, "-P", "-m", "transak_drift.local.pubsub_server"),
                *(str(_data_file(directory)), str(_port_file(directory))),
                *(str(directory / "users"), str(grace_seconds)),
            ],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
