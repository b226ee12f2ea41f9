"""The server's address, in a file that the server and its users share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

LOOPBACK = "127.0.0.1"


class ServerAddress(BaseModel, frozen=True, strict=True):
    """The TCP port on loopback and the process id of a server."""

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
