"""The launcher: exactly one server, at the same address, as long as it has users."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest
from filelock import FileLock
from google.api_core.exceptions import GoogleAPICallError

from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.local.pubsub_server.storage import MICROSECONDS, Storage, system_clock
from transak_drift.platform import PlatformError
from transak_drift_tests.conformance.workspace import Workspace

_GRACE_SECONDS = 0.5
_USER_PROGRAM = """
import sys
from pathlib import Path
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
server = ensure_embedded_pubsub(Path(sys.argv[1]), grace_seconds=0.5)
print(server.endpoint, flush=True)
sys.stdin.read()
"""


def start_user(directory: Path) -> subprocess.Popen[str]:
    """Start a process that uses the server until it is killed; it writes what it got."""
    program = [sys.executable, "-c", _USER_PROGRAM, str(directory)]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_end(directory: Path) -> None:
    """Wait until no server serves the directory: each holds this lock for its life."""
    with FileLock(directory / "pubsub.sqlite3.lock", timeout=20):
        return


def test_processes_at_once_start_one_server_which_ends_with_the_last_of_them(
    tmp_path: Path,
) -> None:
    environment = dict(os.environ)
    users = [start_user(tmp_path) for _ in range(2)]
    answers = {user.stdout.readline().split()[0] for user in users if user.stdout}
    with ensure_embedded_pubsub(tmp_path) as server:
        # It outlives the process that started it.
        for user in users:
            user.kill()
            user.communicate()
        assert answers == {server.endpoint}
        with Workspace(server.endpoint) as pubsub:
            topic, subscription = pubsub.create_pair()
            pubsub.publish(topic, b"still there")
            assert len(pubsub.pull(subscription)) == 1
        with ensure_embedded_pubsub(tmp_path) as again:
            assert again.process_id == server.process_id
    assert dict(os.environ) == environment
    wait_for_end(tmp_path)
    log = (tmp_path / "server.log").read_text()
    assert log.count(" serving ") == 1
    assert "no users" in log


def test_a_killed_server_comes_back_at_its_address_and_has_kept_what_it_answered(
    tmp_path: Path,
) -> None:
    with ensure_embedded_pubsub(tmp_path, grace_seconds=_GRACE_SECONDS) as server:
        # The same client all the time, connected before the first crash.
        pubsub = Workspace(server.endpoint)
        topic, subscription = pubsub.create_pair(ack_deadline_seconds=600)
    published, sent, acknowledged = (set[str]() for _ in range(3))

    def work(busy: threading.Event) -> None:
        with suppress(GoogleAPICallError):
            for done in count(1):
                published.update(pubsub.publish(topic, b"1", b"2", b"3"))
                received = pubsub.pull(subscription, max_messages=1)
                sent.add(received[0].message.message_id)
                pubsub.acknowledge(subscription, received)
                acknowledged.add(received[0].message.message_id)
                if done == 30:
                    busy.set()

    with pubsub:
        for _ in range(2):
            with ensure_embedded_pubsub(tmp_path, grace_seconds=_GRACE_SECONDS) as server:
                assert server.endpoint == pubsub.endpoint
                busy = threading.Event()
                with ThreadPoolExecutor(1) as executor:
                    working = executor.submit(work, busy)
                    assert busy.wait(30)
                    os.kill(server.process_id, signal.SIGKILL)
                    working.result()
                wait_for_end(tmp_path)
    # An hour ahead, where every lease has ended.
    storage = Storage(tmp_path / "pubsub.sqlite3", lambda: system_clock() + 3600 * MICROSECONDS)
    found = storage.lease(subscription, 10_000, 10**9).received_messages
    storage.connection.close()
    remaining = {entry.message.message_id for entry in found}
    assert len(acknowledged) >= 60
    assert remaining.isdisjoint(acknowledged)
    # An acknowledgement without an answer, at most one a crash, may or may not have been stored.
    assert len(sent - acknowledged) <= 2
    assert published - sent <= remaining


def test_server_takes_another_port_when_its_own_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        # As it may be in a copied directory: of a process that lives, and is no server of this one.
        record = {"port": port, "process_id": os.getpid()}
        (tmp_path / "server.json").write_text(json.dumps(record))
        with ensure_embedded_pubsub(tmp_path, grace_seconds=_GRACE_SECONDS) as server:
            assert server.endpoint != f"127.0.0.1:{port}"
            assert json.loads((tmp_path / "server.json").read_text()) == {
                "port": int(server.endpoint.rsplit(":", 1)[1]),
                "process_id": server.process_id,
            }


def test_server_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    # A damaged record of the port changes nothing.
    (tmp_path / "server.json").write_text('{"port": "x", "process_id": 1}')
    data_file = tmp_path / "pubsub.sqlite3"
    data_file.write_text("this is no database, but a text of some length")
    with pytest.raises(PlatformError, match=f"{data_file} cannot be used: file is not a database"):
        ensure_embedded_pubsub(tmp_path)
    data_file.unlink()
    with closing(sqlite3.connect(data_file)) as of_an_earlier_version:
        of_an_earlier_version.execute("PRAGMA user_version = 1")
    with pytest.raises(PlatformError, match="or move the file away") as refused:
        ensure_embedded_pubsub(tmp_path)
    assert "Traceback" not in str(refused.value)
    with FileLock(tmp_path / "launch.lock", blocking=False):
        pass
