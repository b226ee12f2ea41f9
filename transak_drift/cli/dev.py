"""`transak-drift dev`: the Dagster UI with everything up, and a history that stays."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from transak_drift.cli.dagster_home import (
    CODE_LOCATION,
    CODE_MODULE,
    dagster_home,
    write_workspace,
)
from transak_drift.cli.dagster_services import DagsterServices, on_stop_signal
from transak_drift.cli.exclusive_use import check_port_is_free, exclusive_use
from transak_drift.cli.output import print_error, print_line
from transak_drift.defs.local_resources import EMULATOR_VARIABLE
from transak_drift.settings import Settings, load_settings

_START_SECONDS = 120
_PUBSUB_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.2


def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 3000,
) -> None:
    """Start the Dagster UI, daemon and code location; on local also the embedded Pub/Sub."""
    settings = load_settings()
    settings.load_configs()
    stopped = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(on_stop_signal(stopped.set))
        home = dagster_home(settings.home)
        for directory in dict.fromkeys([settings.home.resolve(), home.resolve()]):
            stack.enter_context(exclusive_use(directory))
        check_port_is_free(host, port)
        print_line(f"Dagster UI: http://{host}:{port}   (stop with Ctrl-C)")
        print_line(f"history and data: {settings.home.resolve()}")
        stack.enter_context(_pubsub_server(settings))
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="transak-drift-")))
        services = stack.enter_context(DagsterServices(home))
        ended = _run(services, sockets, host, port, stopped)
    if ended is not None:
        print_error(f"{ended}; its last lines above say why")
        raise typer.Exit(1)


def _run(
    services: DagsterServices, sockets: Path, host: str, port: int, stopped: threading.Event
) -> str | None:
    """Run the services until a signal comes; return which of them ended by itself, or None."""
    socket = sockets / "code_location.sock"
    location = ("--module-name", CODE_MODULE, "--location-name", CODE_LOCATION)
    quiet = ("--log-level", "warning")
    services.start("dagster", "code-server", "start", "--socket", str(socket), *quiet, *location)
    deadline = time.monotonic() + _START_SECONDS
    while not socket.exists() and time.monotonic() < deadline and services.ended() is None:
        if stopped.wait(_POLL_SECONDS):
            return None
    workspace = str(write_workspace(sockets, socket))
    address = ("--host", host, "--port", str(port))
    services.start("dagster-webserver", "--workspace", workspace, *address)
    services.start("dagster-daemon", "run", "--workspace", workspace)
    while not stopped.wait(_POLL_SECONDS):
        ended = services.ended()
        if ended is not None:
            return ended
    return None


@contextmanager
def _pubsub_server(settings: Settings) -> Generator[None]:
    """Run the embedded Pub/Sub server so that it ends with this command, unless others use it."""
    if settings.platform != "local" or os.environ.get(EMULATOR_VARIABLE):
        yield
        return
    from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub

    with ensure_embedded_pubsub(settings.home / "pubsub", grace_seconds=1.0) as server:
        yield
    deadline = time.monotonic() + _PUBSUB_STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(server.process_id, 0)
            time.sleep(_POLL_SECONDS)
