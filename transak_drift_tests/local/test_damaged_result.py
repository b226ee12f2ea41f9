"""A damaged result of the local platform: the overview names the file and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from transak_drift.local.monitoring import recent_monitoring_results
from transak_drift.local.state_directory import StateDirectory
from transak_drift.platform import PlatformError
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import store_job


def test_a_damaged_result_is_named_with_the_fix(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path, configuration())
    store_job(tmp_path, state.config, "job-1")
    assert [item.day.day for item in recent_monitoring_results(state, 5)] == [1]
    state.monitoring_result("job-1").write_text("{broken", encoding="utf-8")
    with pytest.raises(PlatformError, match=r"(?s)job-1\.json is damaged .*materialize"):
        recent_monitoring_results(state, 5)
