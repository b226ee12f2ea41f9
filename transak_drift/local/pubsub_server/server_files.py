"""The files that the server and its users share: its address, and who uses it.

Each user holds a shared `flock` on a file; the kernel releases it when the process ends, however it
ends. The server asks for the exclusive lock: it gets it when there is no user left.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LOOPBACK = "127.0.0.1"
_CHECKS_IN_GRACE_PERIOD = 10


class ServerAddress(BaseModel):
    """The TCP port on loopback and the process id of a server."""

    model_config = ConfigDict(frozen=True, strict=True)

    port: Annotated[int, Field(gt=0, lt=65536)]
    process_id: int

    @property
    def endpoint(self) -> str:
        """`host:port`, as PUBSUB_EMULATOR_HOST takes it."""
        return f"{LOOPBACK}:{self.port}"


def health_service_name(data_file: Path) -> str:
    """Return the name under which the server of a data file answers gRPC's health service.

    Another server that took over a recorded port is so never mistaken for this one.
    """
    digest = hashlib.sha256(str(data_file.resolve()).encode()).hexdigest()
    return f"transak_drift.embedded_pubsub.{digest[:32]}"


def write_server_address(port_file: Path, address: ServerAddress) -> None:
    """Record where the server listens; readers see the old or the new record, never a part."""
    temporary = port_file.with_name(f"{port_file.name}.{os.getpid()}.tmp")
    temporary.write_text(address.model_dump_json(), encoding="utf-8")
    temporary.replace(port_file)


def read_server_address(port_file: Path) -> ServerAddress | None:
    """Return what was recorded last; a damaged record only costs the server its former port."""
    try:
        return ServerAddress.model_validate_json(port_file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def hold_users_lock(users_file: Path) -> int:
    """Take the shared lock and return its file descriptor; closing that gives the lock back.

    It waits while a server that has decided to end still runs, so that whoever holds the lock
    finds either a server that stays or none.
    """
    descriptor = os.open(users_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def wait_until_unused(users_file: Path, grace_seconds: float) -> None:
    """Wait until nobody has held the users lock for the grace period, and take it exclusively.

    It is held until the process ends: new users wait for it.
    """
    descriptor = os.open(users_file, os.O_RDWR | os.O_CREAT, 0o600)
    pause = threading.Event()
    while True:
        # Sleeps in the kernel as long as there is a user.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for _ in range(_CHECKS_IN_GRACE_PERIOD):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            pause.wait(grace_seconds / _CHECKS_IN_GRACE_PERIOD)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                break
        else:
            return
