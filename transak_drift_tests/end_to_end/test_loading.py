"""Dagster loads the project as a user starts it, and says plainly why it does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

from transak_drift_tests.warm_processes import REPOSITORY, WarmProcess, run_dagster


def validate_definitions(tmp_path: Path, **variables: str) -> tuple[int | None, str]:
    """Load the definitions as a user does; returns Dagster's exit status and what it printed."""
    output = tmp_path / "output.txt"
    environment = {**os.environ, "TRANSAK_DRIFT_HOME": str(tmp_path / "state"), **variables}
    command = (run_dagster, "definitions", "validate")
    process = WarmProcess(*command, environment=environment, log_file=output)
    return process.wait(), output.read_text()


def test_a_fresh_checkout_loads_and_makes_nothing(tmp_path: Path) -> None:
    status, output = validate_definitions(tmp_path)
    assert status == 0, output
    assert not (tmp_path / "state").exists()


def test_a_wrong_configuration_names_every_fault(tmp_path: Path) -> None:
    document = json.loads((REPOSITORY / "monitoring_config.json").read_text())
    document["drift_thresholds"]["type"] = -0.3
    document["model_name"] = ""
    document["log_anomalys"] = document.pop("log_anomalies")
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))
    status, text = validate_definitions(tmp_path, TRANSAK_DRIFT_CONFIG=str(wrong))

    assert status == 1
    assert "drift_thresholds.type = -0.3" in text
    assert "model_name" in text
    assert "log_anomalys" in text
    assert 'did you mean "log_anomalies"' in text
    # Of Dagster's stack trace only the function that Dagster calls is ours.
    assert text.count('transak_drift/definitions.py"') == text.count("transak_drift/") == 1
    assert "Traceback" not in text
    assert "The above exception" not in text
