"""The server process: binds the port, serves until it has no users left or is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
from filelock import FileLock
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from transak_drift.local.pubsub_server.limits import MAX_PUBLISH_BYTES
from transak_drift.local.pubsub_server.server_files import (
    LOOPBACK,
    ServerAddress,
    health_service_name,
    read_server_address,
    wait_until_unused,
    write_server_address,
)
from transak_drift.local.pubsub_server.services import PubSubServices
from transak_drift.local.pubsub_server.storage import Storage, system_clock

_log = logging.getLogger(__name__)
_STOP_SECONDS = 1.0
_EXIT_SECONDS = 10.0
_OPTIONS = [
    # Two servers must not share a port: each would get a part of the connections.
    ("grpc.so_reuseport", 0),
    # Larger than the limit of a publish request, so that the limit is what is answered.
    ("grpc.max_receive_message_length", 4 * MAX_PUBLISH_BYTES),
    ("grpc.max_send_message_length", -1),
]


def run_server(
    data_file: Path,
    port_file: Path,
    users_file: Path | None = None,
    grace_seconds: float = 15.0,
    clock: Callable[[], int] = system_clock,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `users_file` has no users for the grace period.

    The port that is recorded in `port_file` is taken again if free. The clock gives microseconds
    since the epoch. filelock.Timeout tells that another process serves the data file.
    """
    data_file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{data_file}.lock", blocking=False):
        storage = Storage(data_file, clock)
        try:
            asyncio.run(_serve(storage, data_file, port_file, users_file, grace_seconds))
        finally:
            storage.close()


async def _serve(
    storage: Storage, data_file: Path, port_file: Path, users_file: Path | None, grace: float
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    services = PubSubServices(storage)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(services.handlers())
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    port = _bind(server, read_server_address(port_file))
    await server.start()
    maintenance = asyncio.create_task(services.maintain())
    for name in (health.OVERALL_HEALTH, health_service_name(data_file)):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    address = ServerAddress(port=port, process_id=os.getpid())
    write_server_address(port_file, address)
    _log.info("serving %s on %s", data_file, address.endpoint)
    if users_file is not None:
        watch = threading.Thread(
            target=_stop_when_unused, args=(users_file, grace, loop, stop), daemon=True
        )
        watch.start()
    await stop.wait()
    _log.info("stopping")
    await health_servicer.enter_graceful_shutdown()
    maintenance.cancel()
    await server.stop(_STOP_SECONDS)


def _bind(server: grpc.aio.Server, recorded: ServerAddress | None) -> int:
    if recorded is not None:
        try:
            return server.add_insecure_port(recorded.endpoint)
        except RuntimeError:
            _log.warning("port %d is taken by another program, taking another", recorded.port)
    return server.add_insecure_port(f"{LOOPBACK}:0")


def _stop_when_unused(
    users_file: Path, grace_seconds: float, loop: asyncio.AbstractEventLoop, stop: asyncio.Event
) -> None:
    wait_until_unused(users_file, grace_seconds)
    _log.info("no users for %g s", grace_seconds)
    # New users wait for the lock: a server that cannot stop in order must not keep it.
    timer = threading.Timer(_EXIT_SECONDS, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
    loop.call_soon_threadsafe(stop.set)
