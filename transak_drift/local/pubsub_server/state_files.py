"""The files of a server's state directory, and what its users find in them.

Known to the server and to those who start it, so it imports nothing of either.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens.

    Attributes:
        port: TCP port on loopback.
        process_id: process of the server.
    """

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
    temporary.write_text(
        json.dumps({"port": address.port, "process_id": address.process_id}), encoding="utf-8"
    )
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
