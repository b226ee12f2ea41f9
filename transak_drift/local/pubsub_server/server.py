"""The server process: binds the port, and serves until it has no users left or is killed.

It may be killed at any time: what it has answered is on the disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grpc
from filelock import FileLock

from transak_drift.local.pubsub_server.limits import MAX_PUBLISH_BYTES
from transak_drift.local.pubsub_server.server_address import (
    LOOPBACK,
    ServerAddress,
    write_server_address,
)
from transak_drift.local.pubsub_server.services import PubSubServices
from transak_drift.local.pubsub_server.storage import Storage, system_clock

_log = logging.getLogger(__name__)
_LOCK_SECONDS = 30.0
_OPTIONS = [
    # Two servers must not share a port: each would get a part of the connections.
    ("grpc.so_reuseport", 0),
    # Larger than the limit of a publish request, so that the limit is what is answered.
    ("grpc.max_receive_message_length", 4 * MAX_PUBLISH_BYTES),
    ("grpc.max_send_message_length", -1),
]


def run_server(
    data_file: Path, address_file: Path, port: int, clock: Callable[[], int] = system_clock
) -> None:
    """Serve a data file, which no other process may serve, and record the address.

    The port is taken if it is free. The clock gives microseconds since the epoch.
    """
    with FileLock(f"{data_file}.lock", timeout=_LOCK_SECONDS):
        asyncio.run(_serve(Storage(data_file, clock), address_file, port))


async def _serve(storage: Storage, address_file: Path, port: int) -> None:
    services = PubSubServices(storage)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(services.handlers())
    try:
        port = server.add_insecure_port(f"{LOOPBACK}:{port}")
    except RuntimeError:
        _log.warning("port %d is taken by another program, taking another", port)
        port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    address = ServerAddress(port=port, process_id=os.getpid())
    write_server_address(address_file, address)
    _log.info("serving on %s", address.endpoint)
    await services.maintain()


def _end_when_unused(users_file: Path, grace_seconds: float) -> None:
    """End the process when nobody has used the server for a grace period.

    Each user holds a shared `flock` on a file; the kernel releases it however the process ends. The
    exclusive one is held until the server's end: a new user waits for it, and finds no server.
    """
    descriptor = os.open(users_file, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        # Sleeps in the kernel as long as there is a user.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(grace_seconds)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _log.info("no users for %g s", grace_seconds)
            os._exit(os.EX_OK)


def main(data_file: str, address_file: str, port: str, users_file: str, grace_seconds: str) -> None:
    """Run the server until it has had no users for the grace period."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    watch = (Path(users_file), float(grace_seconds))
    threading.Thread(target=_end_when_unused, args=watch, daemon=True).start()
    try:
        run_server(Path(data_file), Path(address_file), int(port))
    except sqlite3.DatabaseError as error:
        sys.exit(f"{Path(data_file).absolute()} cannot be used: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
