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
from functools import partial
from pathlib import Path
from typing import Any

import pytest

_INSTANCE_SETTINGS = Path(__file__).parents[2] / "deployment" / "dagster.yaml"
_PROGRAMS = ("initdb", "pg_ctl")
_ACCOUNTS = ("postgres", "nobody")
_START_SECONDS = 60
USER = "dagster"


@contextmanager
def deployed_dagster_home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Make a DAGSTER_HOME as a deployment has it, with a PostgreSQL server for it.

    Skips the test where there is no PostgreSQL, or nobody to run it as.
    """
    _require_postgres()
    directory.mkdir()
    shutil.copy(_INSTANCE_SETTINGS, directory)
    with _postgres_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield directory


@contextmanager
def _postgres_server() -> Generator[dict[str, str]]:
    """Run a server on loopback; yields the variables that `deployment/dagster.yaml` reads."""
    port, password = _free_port(), secrets.token_hex(16)
    # Not below pytest's directory, which only its owner may enter.
    directory = Path(tempfile.mkdtemp(prefix="transak-drift-postgres-"))
    data, password_file = directory / "data", directory / "password"
    password_file.write_text(password)
    password_file.chmod(0o600)
    run = partial(_run, directory)
    account = _unprivileged_account()
    if account is not None:
        run = partial(_run, directory, user=account.pw_uid, group=account.pw_gid, extra_groups=[])
        for path in (directory, password_file):
            os.chown(path, account.pw_uid, account.pw_gid)
    run(
        *("initdb", "--no-sync", "--auth=scram-sha-256", f"--username={USER}"),
        *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", str(data)),
    )
    run(
        *("pg_ctl", "start", "--wait", f"--timeout={_START_SECONDS}", f"--pgdata={data}"),
        *(f"--log={directory / 'log'}", f"--options=-p {port} -h 127.0.0.1 -k {directory}"),
    )
    try:
        yield {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(port),
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": password,
            "DAGSTER_POSTGRES_DATABASE": "postgres",
        }
    finally:
        run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={data}")
        shutil.rmtree(directory)


def _run(directory: Path, *command: str, **account: Any) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=2 * _START_SECONDS,
        check=False,
        **account,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"


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
