"""Starts the embedded Pub/Sub server, or finds the one that runs."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from transak_drift.local.pubsub_server.server_address import ServerAddress, read_server_address
from transak_drift.platform import PlatformError

_START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOG_TAIL_CHARACTERS = 2000


class EmbeddedPubSub(AbstractContextManager):
    """A running server, and this process's share in it.

    The server runs at least as long as this is open. A process that ends, in whatever way, gives
    its share back. The endpoint is as PUBSUB_EMULATOR_HOST takes it.
    """

    def __init__(self, address: ServerAddress, users_lock: int) -> None:
        self.endpoint = address.endpoint
        self.process_id = address.process_id
        self._users_lock = users_lock

    def close(self) -> None:
        """Give the share in the server back; it ends when it has had no users for a while."""
        os.close(self._users_lock)

    def __exit__(self, *_: object) -> None:
        self.close()


def ensure_embedded_pubsub(state_directory: Path, *, grace_seconds: float = 15.0) -> EmbeddedPubSub:
    """Return the server of a state directory; start it when none runs.

    Of many processes that call this at once exactly one starts the server, a process of its own
    session. Its port stays the same across restarts as long as no other program takes it. The
    directory, made when missing, holds the server's data, log and locks.

    Where it does not start in time, a PlatformError has the end of its log.
    """
    directory = state_directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    # Held before the server is looked for, so that one found now does not end as unused.
    users_lock = os.open(directory / "users", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(users_lock, fcntl.LOCK_SH)
    try:
        with FileLock(directory / "launch.lock", timeout=_START_SECONDS):
            return EmbeddedPubSub(_find_or_start(directory, grace_seconds), users_lock)
    except BaseException as error:
        os.close(users_lock)
        if isinstance(error, Timeout):
            raise PlatformError(
                f"{error.lock_file} was held for {_START_SECONDS:g} s by another process that "
                "starts the embedded Pub/Sub server; end that process, then try again"
            ) from error
        raise


def _find_or_start(directory: Path, grace_seconds: float) -> ServerAddress:
    address_file = directory / "server.json"
    process: subprocess.Popen[bytes] | None = None
    try:
        # A server holds it as long as it lives, and records its address as soon as it answers.
        with FileLock(directory / "pubsub.sqlite3.lock", blocking=False):
            former = read_server_address(address_file)
            address_file.unlink(missing_ok=True)
    except Timeout:
        pass
    else:
        process = _spawn(directory, former.port if former else 0, grace_seconds)
        # Reaps the server when it ends before this process does.
        threading.Thread(target=process.wait, name="embedded-pubsub-reaper", daemon=True).start()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        if address := read_server_address(address_file):
            return address
        time.sleep(_POLL_SECONDS)
    reason = f"did not answer within {_START_SECONDS:g} s"
    if process is not None and process.poll() is not None:
        reason = f"ended with status {process.poll()}"
    elif process is not None:
        process.kill()
    log_file = directory / "server.log"
    log = log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else ""
    raise PlatformError(
        f"The embedded Pub/Sub server of {directory} {reason}. The end of its log "
        f"({log_file}):\n{log[-_LOG_TAIL_CHARACTERS:].strip() or '(empty)'}"
    )


def _spawn(directory: Path, port: int, grace_seconds: float) -> subprocess.Popen[bytes]:
    package_root = str(Path(__file__).resolve().parents[2])
    search_path = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    with (directory / "server.log").open("ab") as log:
        return subprocess.Popen(
            # -P: the state directory, which is the working directory, never provides code.
            [
                *(sys.executable, "-P", "-m", "transak_drift.local.pubsub_server.server"),
                *("pubsub.sqlite3", "server.json", str(port), "users", str(grace_seconds)),
            ],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
