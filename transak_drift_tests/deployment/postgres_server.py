"""A PostgreSQL server of its own for a test, in a directory of its own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

_INSTANCE_SETTINGS = Path(__file__).parents[2] / "deployment" / "dagster.yaml"
_PROGRAMS = ("initdb", "pg_ctl")
_ACCOUNTS = ("postgres", "nobody")
_START_SECONDS = 60
USER = "dagster"


class PostgresServer:
    """A running server on loopback, with password authentication.

    Attributes:
        environment: the variables that `deployment/dagster.yaml` reads.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._account = _unprivileged_account()
        # Not below pytest's directory, which only its owner may enter.
        self._directory = Path(tempfile.mkdtemp(prefix="transak-drift-postgres-"))
        self._data = self._directory / "data"
        self._password = secrets.token_hex(16)
        self.environment = {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(port),
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": self._password,
            "DAGSTER_POSTGRES_DATABASE": "postgres",
        }

    def __enter__(self) -> Self:
        password_file = self._directory / "password"
        password_file.write_text(self._password)
        password_file.chmod(0o600)
        if self._account is not None:
            for path in (self._directory, password_file):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        self._run(
            *("initdb", "--no-sync", "--auth=scram-sha-256", f"--username={USER}"),
            *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", str(self._data)),
        )
        options = f"-p {self._port} -h 127.0.0.1 -k {self._directory}"
        log = self._directory / "log"
        self._run(
            *("pg_ctl", "start", "--wait", f"--timeout={_START_SECONDS}", f"--log={log}"),
            *(f"--options={options}", f"--pgdata={self._data}"),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={self._data}")
        shutil.rmtree(self._directory)

    def _run(self, *command: str) -> None:
        account: dict[str, Any] = {}
        if self._account is not None:
            account = {
                "user": self._account.pw_uid,
                "group": self._account.pw_gid,
                "extra_groups": [],
            }
        done = subprocess.run(
            command,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=2 * _START_SECONDS,
            check=False,
            **account,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr}"


@contextmanager
def deployed_dagster_home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Make a DAGSTER_HOME as a deployment has it, with a PostgreSQL server for it.

    Skips the test where there is no PostgreSQL, or nobody to run it as.
    """
    _require_postgres()
    directory.mkdir()
    shutil.copy(_INSTANCE_SETTINGS, directory)
    with PostgresServer(_free_port()) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield directory


def _require_postgres() -> None:
    for name in _PROGRAMS:
        if shutil.which(name) is None:
            pytest.skip(f"needs PostgreSQL's {name} on the PATH")
    pytest.importorskip("dagster_postgres", reason="needs dagster-postgres from PyPI")
    if os.getuid() == 0 and _unprivileged_account() is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no account to run it as")


def _unprivileged_account() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((known[name] for name in _ACCOUNTS if name in known), None)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
