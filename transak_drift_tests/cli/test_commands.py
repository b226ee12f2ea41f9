"""The commands as a person or a script calls them, on the embedded platform."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from scipy.spatial.distance import jensenshannon

from transak_drift.cli.demo import dev_command
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
    result = call("compare", str(before), str(now))
    # Whether it may train is the trigger's matter.
    assert result.exit_code == 1 and "too few rows" in result.stdout
    now.write_text("description,type\n" + "C,x\nC,x\nB,y\n" * 7)
    result = call("compare", str(before), str(now))
    assert result.exit_code == 1 and "DRIFT" in result.stdout
    now.write_text("text,type\nC,x\n")
    with pytest.raises(PlatformError, match="description"):
        call("compare", str(before), str(now))
    with pytest.raises(PlatformError, match="is an address, not a path"):
        call("compare", str(before), "gs://b/now.csv")


def test_compare_compares_predictions_where_both_have_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_document(
        prediction_drift={"threshold": 0.3}, categorical_metric="jensen_shannon_divergence"
    )
    (project / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", str(project / "config.json"))
    header = "description,type,predicted_category"
    for name, food in (("before", 20), ("now", 0)):
        rows = ["A,x,food"] * food + ["A,x,travel"] * (40 - food)
        (project / f"{name}.csv").write_text("\n".join([header, *rows]))
    result = call("compare", "before.csv", "now.csv", "--json")
    assert result.exit_code == 1
    (*_, found) = json.loads(result.stdout)["features"]
    expected = jensenshannon([0.5, 0.5], [0.0, 1.0], base=2) ** 2
    assert (found["feature"], found["objective"]) == ("predicted_category", "prediction")
    assert found["distance"] == pytest.approx(expected, abs=1e-9)
    (project / "now.csv").write_text("description,type\n" + "A,x\n" * 40)
    result = call("compare", "before.csv", "now.csv")
    assert (result.exit_code, "predicted_category" in result.stdout) == (0, False)
    assert "both need a column 'predicted_category'" in result.stderr


def test_compare_ends_with_1_where_a_dataset_has_no_value(project: Path) -> None:
    (project / "full.csv").write_text("description,type\nA,x\nB,y\n")
    for rows in ("", "description,type\n", "description,type\n,x\n,x\n"):
        (project / "empty.csv").write_text(rows)
        for names in (("full", "empty"), ("empty", "full"), ("empty", "empty")):
            assert call("compare", *(f"{name}.csv" for name in names)).exit_code == 1


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
    assert first["file"] == "../monitoring_config.json"
    assert first["trigger_subscription"] == configuration().trigger_subscription
    assert not re.search(first["model_monitor_pattern"], "4412345678901234567")
    assert other["file"] == "../monitoring_configs/second.json"
    assert re.search(other["model_monitor_pattern"], "4412345678901234567")
    assert other["monitoring_output"] == "gs://second/monitoring"


HOME_COMMANDS = ("publish-drift", "dead-letters list", "status", "demo", "dev", "backfill --days 1")
# By the variable that is wrong: its value, the commands that need it, and what they say.
WRONG_SETTINGS = [
    ("CONFIG", "/nowhere/config.json", ("status",), ("/nowhere/config.json", "fix: ")),
    ("PLATFORM", "azure", ("status",), ("TRANSAK_DRIFT_PLATFORM", "fix: ")),
    ("TRANSACTIONS", "/nowhere/rows.csv", ("status",), ("/nowhere/rows.csv", "fix: ")),
    ("HOME", "file", HOME_COMMANDS, ("cannot be used: ", "that can be made and written\n")),
    ("HOME", "circle", ("dev",), ("cannot be used: ", "that can be made and written\n")),
    ("HOME", "file/below", HOME_COMMANDS, ("cannot be used: ", "that can be made and written\n")),
    (
        *("PLATFORM", "gcp", ("publish-drift", "dead-letters list", "status", "doctor")),
        ("there are no Google Cloud credentials", "missing.json was not found"),
    ),
]


@pytest.mark.parametrize(
    ("name", "value", "command", "parts"),
    [
        (name, value, command, parts)
        for name, value, commands, parts in WRONG_SETTINGS
        for command in commands
    ],
)
def test_a_wrong_setting_is_a_sentence_with_its_fix(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    command: str,
    parts: tuple[str, ...],
) -> None:
    (project / "file").touch()
    (project / "circle").symlink_to("circle")
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(project / "missing.json"))
    monkeypatch.setenv(f"TRANSAK_DRIFT_{name}", value)
    monkeypatch.setattr("sys.argv", ["transak-drift", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts)
    assert "Traceback" not in said


def test_the_version() -> None:
    assert call("--version").output == f"transak-drift {version('transak-drift')}\n"


def test_what_the_demo_ends_with_can_be_pasted(tmp_path: Path) -> None:
    command = dev_command(tmp_path / "it's a home", {"TRANSAK_DRIFT_MONITORING_WINDOW": "month"})
    assert " TRANSAK_DRIFT_MONITORING_WINDOW=month " in command
    shown = subprocess.run(
        ["sh", "-c", f"{command} --help"], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "--port" in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_demo_begins_after_the_first_day(project: Path) -> None:
    text = json.dumps(config_document(start_date=str(datetime.now(UTC).date())))
    (project / "monitoring_config.json").write_text(text)
    with pytest.raises(ConfigError, match="with which the demo begins; fix: set an earlier day"):
        call("demo")
    assert not (project / "state").exists()


def test_the_demo_leaves_a_directory_alone_that_it_did_not_make(project: Path) -> None:
    foreign = project / "state" / "demo" / "precious.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    assert call("demo").exit_code == 2
    assert foreign.read_text() == "mine"
