"""Where reports of monitoring-é are kept, and how they are found from Dagster."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest

from transak_drift.defs.gcp_resources import GcpPlatformResource
from transak_drift.defs.keys import PAGE_METADATA
from transak_drift.defs.local_resources import local_platform_resource
from transak_drift.defs.recorded_reports import report_metadata
from transak_drift.platform import PlatformError
from transak_drift.reports.pages import drift_report_page
from transak_drift.settings import Settings
from transak_drift_tests.reports.report_results import DRIFTED
from transak_drift_tests.servers.clients import monitored_config
from transak_drift_tests.servers.storage_server import LoopbackStorage

OUTPUT = "gs://transak-i1/monitoring-é"
OBJECT = "monitoring-é/drift_reports/2026-03-04-20260304-baseline-v1.html"
CONFIG = monitored_config(vertex={"monitoring_output": OUTPUT})
PLATFORM = GcpPlatformResource()
PAGE = drift_report_page(DRIFTED)


def test_on_gcp_the_pages_are_objects_that_a_browser_opens(
    tmp_path: Path, storage: LoopbackStorage
) -> None:
    # A failure that passes is overcome.
    storage.failures = 1
    page = report_metadata(CONFIG, PLATFORM, DRIFTED)[PAGE_METADATA]
    assert storage.failures == 0
    assert isinstance(page, dg.UrlMetadataValue)
    assert page.url == f"https://storage.cloud.google.com/transak-i1/{quote(OBJECT)}"
    assert (tmp_path / "transak-i1" / OBJECT).read_text(encoding="utf-8") == PAGE
    assert storage.content_types == {f"gs://transak-i1/{OBJECT}": "text/html; charset=utf-8"}
    # Beside the reports lies the history, one a model.
    address = PLATFORM.store_history(CONFIG, "<p>all days</p>")
    name = f"monitoring-é/drift_reports/history-{CONFIG.model_monitor_id}.html"
    assert address == f"https://storage.cloud.google.com/transak-i1/{quote(name)}"
    assert (tmp_path / "transak-i1" / name).read_text(encoding="utf-8") == "<p>all days</p>"


def test_on_gcp_without_a_place_nothing_is_written(storage: LoopbackStorage) -> None:
    config = monitored_config(vertex={})
    assert PAGE_METADATA not in report_metadata(config, PLATFORM, DRIFTED)
    assert PLATFORM.store_history(config, "") is None
    assert storage.requests == []


def test_on_gcp_a_report_links_to_the_console() -> None:
    metadata = report_metadata(monitored_config(vertex={}), PLATFORM, DRIFTED)
    assert metadata["model monitor"].url.endswith("/transak-i1-drift?project=af-finanzen")
    for feature in ("description", "type", "amount"):
        page = metadata[f"{feature} in the console"].url
        assert page.endswith(f"/feature-drift?project=af-finanzen&featureName={feature}")


def test_a_missing_role_is_named_and_the_report_stands(storage: LoopbackStorage) -> None:
    storage.denied.add("transak-i1")
    metadata = report_metadata(CONFIG, PLATFORM, DRIFTED)
    assert metadata["verdict"] == "drift in description"
    text = str(metadata[PAGE_METADATA].value)
    assert text.startswith("not written: ")
    assert "storage.objects.create" in text and "roles/storage.objectUser" in text


def test_on_local_the_page_lies_beside_the_result_and_a_directory_in_the_way_is_named(
    tmp_path: Path,
) -> None:
    platform = local_platform_resource(Settings(home=tmp_path))
    metadata = report_metadata(CONFIG, platform, DRIFTED)
    assert isinstance(metadata[PAGE_METADATA], dg.PathMetadataValue)
    path = Path(str(metadata[PAGE_METADATA].value))
    assert path.is_absolute()
    assert (path.parent.name, path.name) == ("monitoring_jobs", "20260304-baseline-v1.html")
    assert path.read_text(encoding="utf-8") == PAGE
    assert not [name for name in metadata if "console" in name]
    history = Path(platform.store_history(CONFIG, "all days"))
    assert (history.parent, history.read_text()) == (path.parent, "all days")
    assert platform.store_report(CONFIG, DRIFTED, "again") == str(path)
    assert path.read_text(encoding="utf-8") == "again"

    path.unlink()
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(PlatformError, match=f"{path.name} cannot be written"):
        platform.store_report(CONFIG, DRIFTED, PAGE)
