"""The commands as a person or a script calls them, on the embedded platform."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from transak_drift.cli.main import COMMANDS, main
from transak_drift.config.errors import ConfigError
from transak_drift.platform import PlatformError
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift_tests.cli.commands import call, document
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.config.configurations import document as config_document


def test_status_of_a_fresh_project(queue: TriggerQueue) -> None:
    said = document("status")
    assert said["platform"] == "local"
    assert said["model_monitor"] is None
    assert (said["dead_letters"], said["model_versions"], said["monitoring_results"]) == (0, [], [])
    assert "not applied yet" in call("status").output


def test_compare_tells_the_distances_and_ends_with_1_where_one_drifts(
    tmp_path: Path, project: Path
) -> None:
    before, now = tmp_path / "before.csv", tmp_path / "now.csv"
    before.write_text("description,type\nA,x\nA,x\nB,y\nB,y\n")
    now.write_text("description,type\nA,x\nC,x\nB,y\nB,y\n")
    said = document("compare", str(before), str(now))
    distances = {f["feature"]: f["distance"] for f in said["features"]}
    assert distances == {"description": 0.25, "type": 0.0}
    now.write_text("description,type\nC,x\nC,x\nB,y\n")
    assert call("compare", str(before), str(now)).exit_code == 1
    now.write_text("text,type\nC,x\n")
    with pytest.raises(PlatformError, match="description"):
        call("compare", str(before), str(now))


@pytest.mark.parametrize("rows", ["", "description,type\n", "description,type\n,x\n,x\n"])
def test_compare_ends_with_1_where_a_dataset_has_no_value(
    tmp_path: Path, project: Path, rows: str
) -> None:
    full, empty = tmp_path / "full.csv", tmp_path / "empty.csv"
    full.write_text("description,type\nA,x\nB,y\n")
    empty.write_text(rows)
    for words in ((full, empty), (empty, full), (empty, empty)):
        assert call("compare", *map(str, words)).exit_code == 1


def test_config_check_reads_the_data_that_is_named(project: Path) -> None:
    config = config_document()
    config |= {"transactions": "days/{date}.csv", "drift_thresholds": {"type": 0.3, "amount": 0.2}}
    (project / "monitoring_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="transactions"):
        call("config", "check")
    (project / "days").mkdir()
    (project / "days" / "2026-05-01.csv").write_text("type;amount\nx;1,50\ny;2,50\n")
    with pytest.raises(ConfigError, match=r"2026-05-01\.csv, line 2: .*1,50.*\"decimal\": \",\""):
        call("config", "check")
    config["csv"] = {"decimal": ","}
    (project / "monitoring_config.json").write_text(json.dumps(config))
    assert call("config", "check").output.splitlines()[-1] == (
        "days/{date}.csv: 1 day(s), 2026-05-01 to 2026-05-01; type categorical, amount numerical"
    )


def test_the_schema_and_a_good_file(project: Path) -> None:
    assert "drift_thresholds" in json.loads(call("config", "schema").stdout)["properties"]
    assert call("config", "check").output.strip() == (
        "monitoring_config.json: transak-i1-train-model, no fault"
    )
    assert document("config", "check")["project_id"] == "af-finanzen"


def test_the_values_of_each_model_are_written_for_terraform(tmp_path: Path, project: Path) -> None:
    with pytest.raises(ConfigError, match=r"--output = \"terraform/models.auto.tfvars.json\""):
        call("config", "terraform")

    (tmp_path / "terraform").mkdir()
    (tmp_path / "monitoring_configs").mkdir()
    second = config_document() | {
        "model_name": "second",
        "monitoring_job_display_name": "Second",
        "further_model_monitor_ids": ["4412345678901234567"],
        "vertex": {"monitoring_output": "gs://second/monitoring"},
    }
    (tmp_path / "monitoring_configs" / "second.json").write_text(json.dumps(second))
    assert len(call("config", "terraform").output.splitlines()) == 2

    written = json.loads((tmp_path / "terraform" / "models.auto.tfvars.json").read_text())
    assert written["config_path"] == "../monitoring_config.json"
    first, other = written["models"]
    assert (first["file"], other["file"]) == (
        "../monitoring_config.json",
        "../monitoring_configs/second.json",
    )
    assert first["trigger_subscription"] == configuration().trigger_subscription
    assert (first["project_number"], first["monitoring_output"]) == (None, None)
    assert other["model_monitor_id"] == "second"
    assert re.search(other["model_monitor_pattern"], "4412345678901234567")
    assert not re.search(first["model_monitor_pattern"], "4412345678901234567")
    assert other["monitoring_output"] == "gs://second/monitoring"


def problem(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Call a command as the shell does, and return the one line that it ends with."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["transak-drift", *words])
        main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("command", ["publish-drift", "dead-letters list", "status", "doctor"])
def test_gcp_without_credentials_is_one_sentence(
    command: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_PLATFORM", "gcp")
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(project / "missing.json"))
    sentence = problem(capsys, *command.split())
    assert "there are no Google Cloud credentials" in sentence
    assert "missing.json was not found" in sentence


@pytest.mark.parametrize("name", ["file", "file/below"])
@pytest.mark.parametrize(
    "command", ["publish-drift", "dead-letters list", "status", "demo", "dev", "backfill --days 1"]
)
def test_a_home_that_is_no_directory_is_one_sentence(
    command: str,
    name: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "file").touch()
    monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(project / name))
    sentence = problem(capsys, *command.split())
    assert sentence.startswith(f"TRANSAK_DRIFT_HOME = {str(project / name)!r} cannot be used: ")
    assert sentence.endswith("name a directory that can be made and written")


def test_the_version() -> None:
    assert call("--version").output == f"transak-drift {version('transak-drift')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_demo_leaves_a_directory_alone_that_it_did_not_make(project: Path) -> None:
    foreign = project / "state" / "demo" / "precious.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    assert call("demo").exit_code == 2
    assert foreign.read_text() == "mine"
