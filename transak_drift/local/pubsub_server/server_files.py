"""The files that the server and its users share: its address, and who uses it.

Each user holds a shared `flock` on a file; the kernel releases it when the process ends, however it
ends. The server gets the exclusive lock when there is no user left.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LOOPBACK = "127.0.0.1"


class ServerAddress(BaseModel):
    """The TCP port on loopback and the process id of a server."""

    model_config = ConfigDict(frozen=True, strict=True)

    port: Annotated[int, Field(gt=0, lt=65536)]
    process_id: int

    @property
    def endpoint(self) -> str:
        """`host:port`, as PUBSUB_EMULATOR_HOST takes it."""
        return f"{LOOPBACK}:{self.port}"


def write_server_address(address_file: Path, address: ServerAddress) -> None:
    """Record where the server listens; readers see all of the record or none."""
    temporary = address_file.with_name(f"{address_file.name}.{os.getpid()}.tmp")
    temporary.write_text(address.model_dump_json(), encoding="utf-8")
    temporary.replace(address_file)


def read_server_address(address_file: Path) -> ServerAddress | None:
    """Return what was recorded last; a damaged record only costs the server its former port."""
    try:
        return ServerAddress.model_validate_json(address_file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def hold_users_lock(users_file: Path) -> int:
    """Take the shared lock and return its file descriptor; closing that gives the lock back."""
    descriptor = os.open(users_file, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor
