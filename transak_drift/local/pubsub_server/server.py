"""The server process: binds the port, serves until it has no users left or is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc
from filelock import FileLock
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from transak_drift.local.pubsub_server.announcements import Announcements
from transak_drift.local.pubsub_server.clock import SystemClock
from transak_drift.local.pubsub_server.maintenance import (
    drop_outdated_messages,
    forward_dead_letters,
)
from transak_drift.local.pubsub_server.message_limits import MAXIMUM_PUBLISH_BYTES
from transak_drift.local.pubsub_server.publisher_service import PublisherService
from transak_drift.local.pubsub_server.state_files import (
    LOOPBACK,
    ServerAddress,
    health_service_name,
    read_server_address,
    write_server_address,
)
from transak_drift.local.pubsub_server.storage import Storage
from transak_drift.local.pubsub_server.subscriber_service import SubscriberService
from transak_drift.local.pubsub_server.users_lock import wait_until_unused

_log = logging.getLogger(__name__)
_STOP_SECONDS = 1.0
_EXIT_SECONDS = 10.0


@dataclass(frozen=True)
class ServerOptions:
    """What a server process is started with.

    Attributes:
        data_file: the SQLite file, created when missing.
        port_file: where the port is recorded; the port recorded there is taken again if free.
        users_file: the file that users lock, None: the server runs until it is told to stop.
        grace_seconds: how long the server stays without users.
    """

    data_file: Path
    port_file: Path
    users_file: Path | None = None
    grace_seconds: float = 15.0


def run_server(options: ServerOptions) -> None:
    """Serve until SIGTERM or SIGINT, or until there are no users for the grace period.

    Raises:
        filelock.Timeout: another process serves the data file.
        DatabaseVersionError: the data file was written by another version.
    """
    options.data_file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{options.data_file}.lock", blocking=False):
        asyncio.run(_serve(options))


async def _serve(options: ServerOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    storage = Storage(options.data_file, SystemClock())
    arrivals, lease_ends = Announcements(), Announcements()
    last_leases_changed = asyncio.Event()
    server = grpc.aio.server(
        options=[
            # Two servers must not share a port: each would get a part of the connections.
            ("grpc.so_reuseport", 0),
            # Larger than the limit of a publish request, so that the limit is what is answered.
            ("grpc.max_receive_message_length", 4 * MAXIMUM_PUBLISH_BYTES),
            ("grpc.max_send_message_length", -1),
            # The client pings while it waits on a stream; that is no abuse on loopback.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.max_ping_strikes", 0),
        ]
    )
    subscriber = SubscriberService(storage, arrivals, lease_ends, last_leases_changed)
    server.add_generic_rpc_handlers(
        (PublisherService(storage, arrivals).handler(), subscriber.handler())
    )
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    recorded = read_server_address(options.port_file)
    port = _bind(server, recorded.port if recorded else 0)
    await server.start()
    maintenance = [
        asyncio.create_task(drop_outdated_messages(storage)),
        asyncio.create_task(forward_dead_letters(storage, arrivals, last_leases_changed)),
    ]
    for task in maintenance:
        task.add_done_callback(_report_failure)
    for name in (health.OVERALL_HEALTH, health_service_name(options.data_file)):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    address = ServerAddress(port=port, process_id=os.getpid())
    write_server_address(options.port_file, address)
    _log.info("serving %s on %s", options.data_file, address.endpoint)
    if options.users_file is not None:
        _stop_when_unused(options.users_file, options.grace_seconds, loop, stop)
    await stop.wait()
    _log.info("stopping")
    await health_servicer.enter_graceful_shutdown()
    for task in maintenance:
        task.cancel()
    await server.stop(_STOP_SECONDS)
    storage.close()


def _bind(server: grpc.aio.Server, wanted_port: int) -> int:
    if wanted_port:
        try:
            return server.add_insecure_port(f"{LOOPBACK}:{wanted_port}")
        except RuntimeError:
            _log.warning("port %d is taken by another program, taking another", wanted_port)
    return server.add_insecure_port(f"{LOOPBACK}:0")


def _stop_when_unused(
    users_file: Path, grace_seconds: float, loop: asyncio.AbstractEventLoop, stop: asyncio.Event
) -> None:
    def watch() -> None:
        # The descriptor stays open, and the lock held, until the process has ended.
        wait_until_unused(users_file, grace_seconds)
        _log.info("no users for %g s", grace_seconds)
        # New users wait for the lock: a server that cannot stop in order must not keep it.
        _exit_after(_EXIT_SECONDS)
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="users", daemon=True).start()


def _exit_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, args=(1,))
    timer.daemon = True
    timer.start()


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("%s ended", task.get_coro(), exc_info=task.exception())
