"""Addresses for people."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from transak_drift.reports.links import asset_partition_page, console_page

JOB = "projects/123/locations/europe-west6/modelMonitors/transak-i1/modelMonitoringJobs/77"


def test_the_pages_of_a_partition_and_of_a_feature_keep_any_name() -> None:
    assert asset_partition_page(["transak_i2", "drift_report"], "2026-04-12") == (
        "/assets/transak_i2/drift_report?view=partitions&partition=2026-04-12"
    )
    address = urlsplit(console_page(JOB, "af-finanzen", "Text & Typ=ü"))
    assert address.path == (
        "/vertex-ai/model-monitoring/locations/europe-west6/model-monitors/transak-i1"
        "/model-monitoring-jobs/77/feature-drift"
    )
    assert parse_qs(address.query) == {"project": ["af-finanzen"], "featureName": ["Text & Typ=ü"]}
    with pytest.raises(ValueError, match="modelMonitoringJobs"):
        console_page("projects/x/locations/y/endpoints/1", "x")
