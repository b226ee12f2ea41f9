"""The page of the drift history, read as a document."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.drift.drift_history import DriftHistory
from transak_drift.reports.charts import history_picture
from transak_drift.reports.pages import MAX_DAYS, drift_history_page
from transak_drift.reports.sanitize import sanitize_line
from transak_drift_tests.reports.report_results import FEATURES, HISTORY, HOSTILE, history_of
from transak_drift_tests.reports.test_report_page import Page

NOTHING = DriftHistory(days=[], promotions=[], read_until=0)


def test_it_tells_when_drift_began_and_what_was_before() -> None:
    page = Page(drift_history_page("transak-i1", HISTORY, FEATURES))
    assert "drift of description began on 2026-04-10 (0.52 > 0.3) and still stands" in page.text
    assert f"no day has drift of {HOSTILE}" in page.text
    # The episode before, which a day without data did not break.
    assert "2026-04-04 2026-04-07 0.5000" in page.text
    assert "2026-04-10 2026-04-11 stands 0.6000" in page.text
    assert "Days with a report: 42, the newest 2026-04-11." in page.text
    assert "script" not in page.found


def test_each_of_the_newest_days_links_to_its_report_on_either_platform() -> None:
    history = history_of({"type": [0.1] * (MAX_DAYS + 10)}, page="/state/monitoring_jobs/x.html")
    page = Page(drift_history_page("m", history, ["type"]))
    assert page.values("href") == ["x.html"] * MAX_DAYS
    assert "Days with a report: 100, the newest 2026-06-08." in page.text
    address = "https://storage.cloud.google.com/b/drift_reports/x.html"
    on_gcp = Page(drift_history_page("m", history_of({"type": [0.1]}, page=address), ["type"]))
    assert on_gcp.values("href") == [address]


def test_without_data_there_is_a_page_without_pictures() -> None:
    page = Page(drift_history_page("transak-i1", NOTHING, ["type"]))
    assert "No day has a report yet." in page.text
    assert "svg" not in page.found
    history = history_of({"type": [None, None]})
    assert "svg" not in Page(drift_history_page("m", history, ["type"])).found
    assert history_picture(history, ["type"]) == "no data"


@settings(max_examples=8)
@given(st.text(min_size=1, max_size=30))
def test_any_name_gives_a_whole_page(name: str) -> None:
    page = Page(drift_history_page(name, history_of({name: [0.1, 0.5]}), [name]))
    assert "script" not in page.found
    assert (sanitize_line(name) or "(empty)") in page.text
    assert page.found["svg"] == 1
