"""Dagster loads the project as a user starts it, and says plainly why it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def validate(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "definitions", "validate"],
        cwd=REPOSITORY,
        env={**os.environ, "TRANSAK_DRIFT_HOME": str(tmp_path / "state"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_fresh_checkout_loads_and_makes_nothing(tmp_path: Path) -> None:
    outcome = validate(tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert not (tmp_path / "state").exists()


def test_a_wrong_configuration_names_every_fault(tmp_path: Path) -> None:
    document = json.loads((REPOSITORY / "monitoring_config.json").read_text())
    document["drift_thresholds"]["type"] = -0.3
    document["model_name"] = ""
    document["log_anomalys"] = document.pop("log_anomalies")
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))
    outcome = validate(tmp_path, TRANSAK_DRIFT_CONFIG=str(wrong))

    text = outcome.stdout + outcome.stderr
    assert outcome.returncode == 1
    assert "drift_thresholds.type = -0.3" in text
    assert "model_name" in text
    assert "log_anomalys" in text
    assert 'did you mean "log_anomalies"' in text
    # Of Dagster's stack trace only the function that Dagster calls is ours.
    assert text.count('transak_drift/definitions.py"') == text.count("transak_drift/") == 1
    assert "Traceback" not in text
    assert "The above exception" not in text


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"TRANSAK_DRIFT_CONFIG": "/nowhere/config.json"}, "/nowhere/config.json"),
        ({"TRANSAK_DRIFT_PLATFORM": "azure"}, "TRANSAK_DRIFT_PLATFORM"),
        ({"TRANSAK_DRIFT_TRANSACTIONS": "/nowhere/rows.csv"}, "/nowhere/rows.csv"),
    ],
)
def test_a_wrong_setting_is_named_without_a_traceback(
    tmp_path: Path, variables: dict[str, str], named: str
) -> None:
    outcome = subprocess.run(
        [str(Path(sys.executable).with_name("transak-drift")), "status"],
        cwd=REPOSITORY,
        env={**os.environ, "TRANSAK_DRIFT_HOME": str(tmp_path / "state"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 2
    assert named in outcome.stderr
    assert "fix: " in outcome.stderr
    assert "Traceback" not in outcome.stderr
