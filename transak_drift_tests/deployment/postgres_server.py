"""A PostgreSQL server of its own for a test, in a directory of its own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from transak_drift_tests.servers.ports import free_port

_INSTANCE_SETTINGS = Path(__file__).parents[2] / "deployment" / "dagster.yaml"
_START_SECONDS = 60
USER = "dagster"


@contextmanager
def deployed_dagster_home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Make a DAGSTER_HOME as a deployment has it, with a PostgreSQL server for it.

    Skips the test where there is no PostgreSQL, or nobody to run it as.
    """
    for name in ("initdb", "pg_ctl"):
        if shutil.which(name) is None:
            pytest.skip(f"needs PostgreSQL's {name} on the PATH")
    pytest.importorskip("dagster_postgres", reason="needs dagster-postgres from PyPI")
    directory.mkdir()
    shutil.copy(_INSTANCE_SETTINGS, directory)
    port, password, account = free_port(), secrets.token_hex(16), _unprivileged_account()
    # Not below pytest's directory, which only its owner may enter.
    place = Path(tempfile.mkdtemp(prefix="transak-drift-postgres-"))
    data, password_file = place / "data", place / "password"
    password_file.write_text(password)
    password_file.chmod(0o600)
    if account:
        for path in (place, password_file):
            os.chown(path, account["user"], account["group"])
    run = partial(_run, place, **account)
    run(
        *("initdb", "--no-sync", "--auth=scram-sha-256", f"--username={USER}"),
        *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", str(data)),
    )
    run(
        *("pg_ctl", "start", "--wait", f"--timeout={_START_SECONDS}", f"--pgdata={data}"),
        *(f"--log={place / 'log'}", f"--options=-p {port} -h 127.0.0.1 -k {place}"),
    )
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "USER": USER,
        "PASSWORD": password,
        "DATABASE": "postgres",
    }.items():
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)
    try:
        yield directory
    finally:
        run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={data}")
        shutil.rmtree(place)


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


def _unprivileged_account() -> dict[str, Any]:
    """Return whom PostgreSQL runs as, as `subprocess` takes it: it refuses to run as root."""
    if os.getuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return {"user": known[name].pw_uid, "group": known[name].pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL refuses to run as root, and there is no account to run it as")
