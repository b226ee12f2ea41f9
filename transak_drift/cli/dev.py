"""`transak-drift dev`: the Dagster UI with everything up, and a history that stays."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from transak_drift.cli.dagster_home import (
    CODE_LOCATION,
    CODE_MODULE,
    DagsterServices,
    dagster_home,
    on_stop_signal,
    write_workspace,
)
from transak_drift.cli.output import print_error, print_line
from transak_drift.defs.platform_resource import EMULATOR_VARIABLE
from transak_drift.platform import PlatformError
from transak_drift.settings import Settings, load_settings

_PUBSUB_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.2
_PROC = Path("/proc")
# The state "listen" in /proc/net/tcp (Linux, proc_net_tcp.rst).
_LISTEN = "0A"


def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 3000,
) -> None:
    """Start the Dagster UI, daemon and code location; on local also the embedded Pub/Sub."""
    settings = load_settings()
    settings.load_configs()
    stopped = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(on_stop_signal(lambda *_: stopped.set()))
        home = dagster_home(settings.home)
        for directory in dict.fromkeys([settings.home.resolve(), home.resolve()]):
            stack.enter_context(_exclusive_use(directory))
        _check_port_is_free(host, port)
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
    socket_file = sockets / "code_location.sock"
    location = ("--module-name", CODE_MODULE, "--location-name", CODE_LOCATION)
    listening = ("--socket", str(socket_file), "--log-level", "warning")
    services.start("dagster", "code-server", "start", *listening, *location)
    while not socket_file.exists() and services.ended() is None:
        if stopped.wait(_POLL_SECONDS):
            return None
    workspace = str(write_workspace(sockets, socket_file))
    address = ("--host", host, "--port", str(port))
    services.start("dagster-webserver", "--workspace", workspace, *address)
    services.start("dagster-daemon", "run", "--workspace", workspace)
    ended = None
    while ended is None and not stopped.wait(_POLL_SECONDS):
        ended = services.ended()
    return ended


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


@contextmanager
def _exclusive_use(directory: Path) -> Generator[None]:
    """Hold a directory against a second process, which is told who holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    holder = directory / "dev.holder"
    try:
        with FileLock(directory / "dev.lock", timeout=0):
            holder.write_text(f"process {os.getpid()} ({shlex.join(sys.argv)})", encoding="utf-8")
            yield
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.exists() else ""
        raise PlatformError(
            f"{directory} is in use by {who or 'another process'}; end it, or name another "
            "directory with TRANSAK_DRIFT_HOME"
        ) from None


def _check_port_is_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        holder = _port_holder(port) if error.errno == errno.EADDRINUSE else None
        problem = f"is in use by {holder}" if holder else f"cannot be used ({error.strerror})"
        raise PlatformError(
            f"--host {host} --port {port} {problem}; name another with --host and --port"
        ) from None


def _port_holder(port: int) -> str | None:
    """Name the process that listens on a port, as far as this user may know."""
    if not _PROC.exists():
        command = ["lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"]
        with contextlib.suppress(OSError):
            found = subprocess.run(command, capture_output=True, text=True, check=False)
            return f"process {found.stdout.split()[0]}" if found.stdout else None
        return None
    sockets = {
        f"socket:[{fields[9]}]"
        for table in _PROC.glob("net/tcp*")
        for fields in map(str.split, table.read_text().splitlines()[1:])
        if fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}")
    }
    for descriptor in _PROC.glob("[0-9]*/fd/*"):
        # A process that has ended, or is another user's, is passed over.
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) in sockets:
                process = descriptor.parents[1]
                command = process.joinpath("cmdline").read_text(errors="replace")
                return f"process {process.name} ({command.replace(chr(0), ' ').strip()})"
    return None
