"""What the server and its users share in the state directory: its address, and who uses it.

Each user holds a shared `flock` on a file; the kernel releases it when the process ends, however it
ends. The server asks for the exclusive lock: it gets it when there is no user left.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_CHECKS_IN_GRACE_PERIOD = 10


@dataclass(frozen=True)
class ServerAddress:
    """The TCP port on loopback and the process id of a server."""

    port: int
    process_id: int

    @property
    def endpoint(self) -> str:
        """`host:port`, as PUBSUB_EMULATOR_HOST takes it."""
        return f"{LOOPBACK}:{self.port}"


def health_service_name(data_file: Path) -> str:
    """Return the name under which the server of a data file answers gRPC's health service.

    It differs between data files, so that another server which took over a recorded port is never
    mistaken for this one.
    """
    digest = hashlib.sha256(str(data_file.resolve()).encode()).hexdigest()
    return f"transak_drift.embedded_pubsub.{digest[:32]}"


def write_server_address(port_file: Path, address: ServerAddress) -> None:
    """Record where the server listens; readers see the old or the new record, never a part."""
    temporary = port_file.with_name(f"{port_file.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(asdict(address)), encoding="utf-8")
    temporary.replace(port_file)


def read_server_address(port_file: Path) -> ServerAddress | None:
    """Return what was recorded last, None: nothing that could be an address.

    A damaged record is treated as missing: the server only loses the wish to keep its port.
    """
    try:
        record = json.loads(port_file.read_text(encoding="utf-8"))
        port, process_id = record["port"], record["process_id"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if type(port) is not int or type(process_id) is not int or not 0 < port < 65536:
        return None
    return ServerAddress(port=port, process_id=process_id)


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


def wait_until_unused(users_file: Path, grace_seconds: float) -> int:
    """Wait until nobody has held the users lock for the grace period, and take it exclusively.

    Returns:
        The descriptor of the exclusive lock. It is to be kept until the process ends: new users
        wait for it.
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
            return descriptor
