"""Refuses what another process uses already, a directory or a port, and names that process."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from transak_drift.platform import PlatformError

_PROC = Path("/proc")
# The state "listen" in /proc/net/tcp (Linux, proc_net_tcp.rst).
_LISTEN = "0A"


@contextmanager
def exclusive_use(directory: Path) -> Generator[None]:
    """Hold a directory against a second process, until the block is left or this process ends.

    Args:
        directory: the directory; made where missing.

    Raises:
        PlatformError: another process holds it; the message names it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    holder_file = directory / "dev.json"
    lock = FileLock(directory / "dev.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        try:
            holder = json.loads(holder_file.read_text(encoding="utf-8"))
            who = f"process {holder['process_id']} ({holder['command']})"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process"
        raise PlatformError(
            f"{directory} is in use by {who}; end it, or name another directory with "
            "TRANSAK_DRIFT_HOME"
        ) from None
    try:
        holder_file.write_text(
            json.dumps({"process_id": os.getpid(), "command": shlex.join(sys.argv)}),
            encoding="utf-8",
        )
        yield
    finally:
        lock.release()


def check_port_is_free(host: str, port: int) -> None:
    """Check that a server can listen.

    Args:
        host: name or address.
        port: the port.

    Raises:
        PlatformError: it cannot; the message names the process that holds the port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        holder = _port_holder(port) if error.errno == errno.EADDRINUSE else None
        problem = f"is in use by {holder}" if holder else f"cannot be used ({error.strerror})"
        raise PlatformError(
            f"--host {host} --port {port} {problem}; name another with --host and --port"
        ) from None


def _port_holder(port: int) -> str | None:
    """Name the process that listens on a port, as far as this user may know."""
    if not _PROC.exists():
        return _port_holder_of_lsof(port)
    sockets = set()
    for table in (_PROC / "net/tcp", _PROC / "net/tcp6"):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for descriptor in _PROC.glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) in sockets:
                process = descriptor.parents[1]
                command = process.joinpath("cmdline").read_text(errors="replace")
                return f"process {process.name} ({command.replace(chr(0), ' ').strip()})"
        except OSError:  # It has ended, or is another user's.
            continue
    return None


def _port_holder_of_lsof(port: int) -> str | None:
    command = ["lsof", "-nP", "-Fpc", f"-iTCP:{port}", "-sTCP:LISTEN"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return None
    fields = {line[0]: line[1:] for line in answer.splitlines() if line}
    return f"process {fields['p']} ({fields.get('c', '')})" if "p" in fields else None
