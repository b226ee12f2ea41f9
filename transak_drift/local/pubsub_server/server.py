"""The server process: binds the port, serves until it has no users left or is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grpc
from filelock import FileLock
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from transak_drift.local.pubsub_server.deliveries import Deliveries
from transak_drift.local.pubsub_server.limits import MAX_PUBLISH_BYTES
from transak_drift.local.pubsub_server.publisher import Publisher
from transak_drift.local.pubsub_server.state_directory import (
    LOOPBACK,
    ServerAddress,
    health_service_name,
    read_server_address,
    wait_until_unused,
    write_server_address,
)
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage, system_clock
from transak_drift.local.pubsub_server.subscriber import Arrivals, Subscriber

_log = logging.getLogger(__name__)
_STOP_SECONDS = 1.0
_EXIT_SECONDS = 10.0
_RETENTION_CHECK_SECONDS = 60.0
_RETRY_SECONDS = 10.0


def run_server(
    data_file: Path,
    port_file: Path,
    users_file: Path | None = None,
    grace_seconds: float = 15.0,
    clock: Callable[[], int] = system_clock,
) -> None:
    """Serve until SIGTERM or SIGINT, or until there are no users for the grace period.

    Args:
        data_file: the SQLite file, created when missing.
        port_file: where the port is recorded; the port recorded there is taken again if free.
        users_file: the file that users lock, None: the server runs until it is told to stop.
        grace_seconds: how long the server stays without users.
        clock: the time, microseconds since the epoch.

    Raises:
        filelock.Timeout: another process serves the data file.
        DatabaseVersionError: the data file was written by another version.
    """
    data_file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{data_file}.lock", blocking=False):
        storage = Storage(data_file, clock)
        try:
            asyncio.run(_serve(storage, data_file, port_file, users_file, grace_seconds))
        finally:
            storage.close()


async def _serve(
    storage: Storage,
    data_file: Path,
    port_file: Path,
    users_file: Path | None,
    grace_seconds: float,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    deliveries = Deliveries(storage)
    arrivals, leases_changed = Arrivals(), asyncio.Event()
    server = grpc.aio.server(
        options=[
            # Two servers must not share a port: each would get a part of the connections.
            ("grpc.so_reuseport", 0),
            # Larger than the limit of a publish request, so that the limit is what is answered.
            ("grpc.max_receive_message_length", 4 * MAX_PUBLISH_BYTES),
            ("grpc.max_send_message_length", -1),
        ]
    )
    server.add_generic_rpc_handlers(
        (
            Publisher(storage, arrivals.announce).handler(),
            Subscriber(storage, deliveries, arrivals, leases_changed).handler(),
        )
    )
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    port = _bind(server, read_server_address(port_file))
    await server.start()
    maintenance = asyncio.create_task(_maintain(storage, deliveries, arrivals, leases_changed))
    for name in (health.OVERALL_HEALTH, health_service_name(data_file)):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    address = ServerAddress(port=port, process_id=os.getpid())
    write_server_address(port_file, address)
    _log.info("serving %s on %s", data_file, address.endpoint)
    if users_file is not None:
        _stop_when_unused(users_file, grace_seconds, loop, stop)
    await stop.wait()
    _log.info("stopping")
    await health_servicer.enter_graceful_shutdown()
    maintenance.cancel()
    await server.stop(_STOP_SECONDS)


async def _maintain(
    storage: Storage, deliveries: Deliveries, arrivals: Arrivals, leases_changed: asyncio.Event
) -> None:
    """Forward dead letters when their last lease ends though nobody pulls; drop what is outdated.

    The task ends with the server, and never before.
    """
    loop = asyncio.get_running_loop()
    next_retention_check = loop.time()
    while True:
        leases_changed.clear()
        try:
            woken, next_end = await storage.run(deliveries.forward_dead_letters)
            arrivals.announce(woken)
            if loop.time() >= next_retention_check:
                await storage.run(deliveries.drop_outdated)
                next_retention_check = loop.time() + _RETENTION_CHECK_SECONDS
            pause = next_retention_check - loop.time()
            if next_end is not None:
                pause = min(pause, (next_end - storage.clock()) / MICROSECONDS)
        except sqlite3.Error:
            _log.exception("dead letters or outdated messages are left; trying again later")
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        with suppress(TimeoutError):
            await asyncio.wait_for(leases_changed.wait(), max(0.0, pause))


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
    def watch() -> None:
        # The descriptor stays open, and the lock held, until the process has ended.
        wait_until_unused(users_file, grace_seconds)
        _log.info("no users for %g s", grace_seconds)
        # New users wait for the lock: a server that cannot stop in order must not keep it.
        timer = threading.Timer(_EXIT_SECONDS, os._exit, args=(1,))
        timer.daemon = True
        timer.start()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="users", daemon=True).start()
