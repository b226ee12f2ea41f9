"""The README's first command, as a user runs it (on fewer rows)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_demo_closes_the_loop_and_tells_what_happened(tmp_path: Path) -> None:
    outcome = subprocess.run(
        [str(Path(sys.executable).with_name("transak-drift")), "demo", "--json"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "TRANSAK_DRIFT_HOME": str(tmp_path / "state"),
            "TRANSAK_DRIFT_ROWS_PER_DAY": "400",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    days, drift_day = report["days"], report["drift_day"]
    assert [day["day"] for day in days if day["drifted"]] == [drift_day]
    [drifted] = [day for day in days if day["drifted"]]
    assert {feature["feature"] for feature in drifted["features"]} == {"description", "type"}
    assert all(f["distance"] > f["threshold"] for f in drifted["features"])
    afterwards = [day for day in days if day["day"] > drift_day]
    assert afterwards
    assert all(f["distance"] < f["threshold"] for day in afterwards for f in day["features"])
    assert (report["model_version_before"], report["model_version_after"]) == ("1", "2")
    assert {day["model_version"] for day in afterwards} == {"2"}
    assert report["message_id"]
    assert report["retrain_run_id"]
