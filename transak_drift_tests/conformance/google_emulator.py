"""Google's Pub/Sub emulator, where it is installed: found, started and stopped."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import grpc

_START_SECONDS = 60
_SDK_ROOTS = (
    Path("/usr/lib/google-cloud-sdk"),
    Path("/usr/share/google-cloud-sdk"),
    Path("/opt/google-cloud-sdk"),
    Path("/opt/homebrew/share/google-cloud-sdk"),
    Path.home() / "google-cloud-sdk",
)


class EmulatorNotInstalledError(Exception):
    """The emulator, or the Java runtime that it needs, is not on this machine."""


def emulator_command() -> list[str]:
    """Return the command that starts the emulator, without host and port."""
    gcloud = shutil.which("gcloud")
    roots = [Path(gcloud).resolve().parents[1]] if gcloud else []
    for root in [*roots, *_SDK_ROOTS]:
        jars = sorted((root / "platform/pubsub-emulator/lib").glob("cloud-pubsub-emulator-*.jar"))
        if jars:
            break
    else:
        raise EmulatorNotInstalledError(
            "Google's Pub/Sub emulator is not installed: gcloud components install pubsub-emulator"
        )
    java = shutil.which("java")
    if java is None:
        raise EmulatorNotInstalledError("Google's Pub/Sub emulator needs a Java runtime")
    return [java, "-jar", str(jars[-1])]


@contextmanager
def running_emulator(log_file: Path) -> Generator[str]:
    """Run the emulator on a free port and yield its `host:port`."""
    command = emulator_command()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"127.0.0.1:{port}"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={port}"], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        with grpc.insecure_channel(endpoint, [("grpc.enable_http_proxy", 0)]) as channel:
            grpc.channel_ready_future(channel).result(timeout=_START_SECONDS)
        yield endpoint
    finally:
        process.kill()
        process.wait()
