"""Report and history as documents: complete, escaped, repeatable; and the addresses of pages."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.config.monitoring_window import WindowLength
from transak_drift.config.sections import DataQuality
from transak_drift.drift.data_quality import FeatureQuality, judge_quality
from transak_drift.drift.drift_history import DriftHistory, RecordedWindow
from transak_drift.drift.monitoring_result import NO_MODEL, FeatureDrift
from transak_drift.reports.charts import feature_chart, history_picture, result_picture
from transak_drift.reports.links import asset_partition_page, console_page
from transak_drift.reports.pages import MAX_WINDOWS, drift_history_page, drift_report_page
from transak_drift.reports.sanitize import sanitize_line
from transak_drift_tests.reports.report_results import (
    AMOUNT,
    DRIFTED,
    FEATURES,
    HISTORY,
    HOSTILE,
    JOB_NAME,
    LONG,
    QUIET,
    TYPE,
    UNSOUND,
    UNSOUND_VERDICTS,
    description,
    feature_drift,
    history_of,
    result_of,
)


class Page(HTMLParser):
    """What a browser would make of a page, as far as the tests ask."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.pieces: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


def picture(markdown: str) -> ElementTree.Element:
    [encoded] = re.findall(r"\(data:image/svg\+xml;base64,([^)]+)\)", markdown)
    return ElementTree.fromstring(base64.b64decode(encoded))


def words(svg: ElementTree.Element) -> list[str]:
    return [item.text or "" for item in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_the_page_tells_what_the_run_found() -> None:
    page = Page(drift_report_page(DRIFTED))
    assert "Drift report of 2026-03-04" in page.text
    assert "Drift in description" in page.text
    assert "5,000 rows of the day against training data of model v1 with 140,000 rows" in page.text
    assert DRIFTED.job_name in page.text
    assert "description: drift L-infinity distance 0.3100, threshold 0.3" in page.text
    assert "type: ok L-infinity distance 0.0400, threshold 0.3" in page.text
    assert "Distances: exact, from every row." in page.text
    assert "amount: no data Jensen–Shannon divergence –, threshold 0.2" in page.text
    assert AMOUNT.note in page.text
    assert "card payment 42.0% 46.0% +4.0%" in page.text
    assert LONG in page.text


def test_what_comes_by_chance_is_shown_and_is_no_drift() -> None:
    found = feature_drift("description", 0.31)
    result = result_of(found.model_copy(update={"by_chance": 0.3214}), TYPE)
    judged = result.judged(RetrainPolicy())
    text = Page(drift_report_page(judged)).text
    reason = "By chance: 5 % of unchanged windows of this size exceed 0.3214."
    assert "No drift" in text and "description: by chance" in text
    assert "by chance 5 % of unchanged windows exceed 0.3214" in text
    assert f"Above the threshold, but no drift. {reason}" in text

    windows = [RecordedWindow(item, None) for item in (result, judged)]
    for history, told in ((windows[1:], "0.3100 by chance"), (windows[:1], "0.3100 chance 0.3214")):
        page = drift_history_page("m", DriftHistory(history, [], 0), ["description"])
        assert told in Page(page).text
        assert ("no window has drift" in page) == (history == windows[1:])


def test_predictions_are_told_from_features() -> None:
    prediction = FeatureDrift(
        feature="predicted_category",
        metric="jensen_shannon_divergence",
        distance=0.4,
        threshold=0.3,
        objective="prediction",
    )
    text = Page(drift_report_page(result_of(TYPE, prediction))).text
    assert "Drift in predicted_category" in text
    assert "predictions, predicted_category: drift Jensen–Shannon divergence 0.4000" in text
    note = {"distance": None, "note": f"{NO_MODEL}, so that there are no predictions to compare"}
    without = prediction.model_copy(update=note)
    text = Page(drift_report_page(result_of(TYPE, without))).text
    assert "No drift" in text
    assert "predictions, predicted_category: no model" in text


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (QUIET, "No drift"),
        (result_of(TYPE, AMOUNT), "Not every feature has data"),
        (result_of(description("A")), "Drift in description"),
    ],
)
def test_the_verdict_is_one_of_three(result, words: str) -> None:
    text = Page(drift_report_page(result)).text
    verdicts = {"No drift", "Not every feature has data", "Drift in description"}
    assert {verdict for verdict in verdicts if verdict in text} == {words}
    unknown = result.model_copy(update={"baseline_rows": None, "target_rows": None})
    text = Page(drift_report_page(unknown)).text
    assert "The day against training data of model v1." in text and "None" not in text


def test_text_of_transactions_is_shown_and_never_obeyed() -> None:
    document = drift_report_page(DRIFTED)
    assert drift_report_page(DRIFTED) == document
    page = Page(document)
    assert page.text.count(HOSTILE) == 2
    assert not page.found.keys() & {"script", "img", "foreignobject"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    # Every feature with a distance has a picture.
    assert page.found["svg"] == 2
    kinds = page.values("class")
    assert kinds.count("drifted") == 1 + len(DRIFTED.features[0].contributors)
    assert kinds.count("now") == 1 + len(TYPE.contributors)


def test_the_page_tells_the_quality_of_the_data_and_what_to_do() -> None:
    page = Page(drift_report_page(UNSOUND, UNSOUND_VERDICTS))
    assert "Data quality: look at missing values, row count, column types" in page.text
    assert f"{HOSTILE}: 30.0% of values missing, 2.0% in the baseline, allowed is" in page.text
    assert "5,000 rows, 50,000 are usual (allowed is a factor of 3). Look whether" in page.text
    assert f"{HOSTILE} 30.0% (2.0%) 41.0% (39.8%)" in page.text
    # What is not known is a dash.
    assert "as number in the windowunseen values are not known:" in page.text
    assert " 0.0% (0.0%) –" in page.text
    assert "script" not in page.found
    sound = judge_quality(DataQuality(), UNSOUND.quality[:0], 5_000, 140_000, 5_000.0)
    assert "Data quality" not in Page(drift_report_page(QUIET, sound)).text
    quality = (FeatureQuality(feature="type", missing_share=0.0, expected_missing_share=0.0),)
    healthy = QUIET.model_copy(update={"quality": quality})
    assert "Data quality: ok" in Page(drift_report_page(healthy, sound)).text


def test_the_bars_are_as_long_as_the_shares() -> None:
    chart = feature_chart(TYPE)
    assert chart is not None
    widths = [float(value) for value in Page(chart.inline()).values("width")]
    distance, *shares = widths
    assert distance / widths[2] == pytest.approx(428 / 0.375 * 0.04 / 380, abs=1e-3)
    expected = [share for c in TYPE.contributors for share in (c.baseline_share, c.target_share)]
    assert [width / 380 * 0.46 for width in shares] == pytest.approx(expected, abs=1e-3)


def test_dagster_shows_the_same_picture_with_colors_of_its_own() -> None:
    svg = picture(result_picture(DRIFTED))
    shown = words(svg)
    assert shown[:2] == ["description: drift", "distance 0.3100 > 0.3; the line is the threshold"]
    assert "価格$x$ 東京店 10%" in shown
    assert "type: ok" in shown
    assert "--drifted: #c53030" in ElementTree.tostring(svg, encoding="unicode")
    assert result_picture(result_of(AMOUNT)) == "no data"


@settings(max_examples=25)
@given(st.text(max_size=60))
def test_any_text_gives_a_whole_page(value: str) -> None:
    result = result_of(description(value), baseline_name=value)
    document = drift_report_page(result)
    page = Page(document)
    assert "script" not in page.found
    assert (sanitize_line(value) or "(empty)") in page.text
    document.encode("utf-8")
    assert words(picture(result_picture(result)))


def test_control_characters_and_lone_surrogates_are_replaced() -> None:
    assert sanitize_line(" a\x00b\x1b\u202e\ud800c\r\n\u2028d ") == "a\ufffdb\ufffd\ufffd\ufffdc d"
    assert sanitize_line("abcdef", 4) == "abc…"
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", drift_report_page(result_of(TYPE)))


def test_the_history_tells_when_drift_began_and_what_was_before() -> None:
    page = Page(drift_history_page("transak-i1", HISTORY, FEATURES))
    assert "drift of description began on 2026-04-10 (0.52 > 0.3) and still stands" in page.text
    assert f"no window has drift of {HOSTILE}" in page.text
    # The episode before, which a day without data did not break.
    assert "2026-04-04 2026-04-07 0.5000" in page.text
    assert "2026-04-10 2026-04-11 stands 0.6000" in page.text
    assert "Windows with a report: 42, the newest 2026-04-11." in page.text
    assert "script" not in page.found


def test_each_of_the_newest_days_of_the_history_links_to_its_report_on_either_platform() -> None:
    history = history_of({"type": [0.1] * (MAX_WINDOWS + 10)}, page="/state/monitoring_jobs/x.html")
    page = Page(drift_history_page("m", history, ["type"]))
    assert page.values("href") == ["x.html"] * MAX_WINDOWS
    assert "Windows with a report: 100, the newest 2026-06-08." in page.text
    address = "https://storage.cloud.google.com/b/drift_reports/x.html"
    on_gcp = Page(drift_history_page("m", history_of({"type": [0.1]}, page=address), ["type"]))
    assert on_gcp.values("href") == [address]


@pytest.mark.parametrize(
    ("length", "labels", "heading", "began"),
    [
        ("day", ["Mar 1", "Mar 4", "Mar 7", "Mar 10"], "day", "began on 2026-03-10"),
        ("week", ["Feb 23", "Mar 16", "Apr 6", "Apr 27"], "week of", "in the week of 2026-04-27"),
        ("month", ["Mar 2026", "Jun 2026", "Sep 2026", "Dec 2026"], "month", "began in 2026-12"),
    ],
)
def test_the_history_shows_each_length_of_windows(
    length: WindowLength, labels: list[str], heading: str, began: str
) -> None:
    history = history_of({"type": [0.1] * 9 + [0.4]}, length=length)
    page = Page(drift_history_page("transak-i1", history, ["type"]))
    shown = words(picture(history_picture(history, ["type"])))
    assert [word for word in shown if re.fullmatch(r"[A-Z][a-z]{2} \d+", word)] == labels
    assert began in page.text
    assert f"Windows {heading} type report {history.windows[-1].window.key} 0.4000" in page.text


def test_without_data_the_history_has_no_pictures() -> None:
    page = Page(drift_history_page("transak-i1", DriftHistory([], [], 0), ["type"]))
    assert "No window has a report yet." in page.text
    assert "svg" not in page.found
    history = history_of({"type": [None, None]})
    assert "svg" not in Page(drift_history_page("m", history, ["type"])).found
    assert history_picture(history, ["type"]) == "no data"


@settings(max_examples=8)
@given(st.text(min_size=1, max_size=30))
def test_any_name_gives_a_whole_history_page(name: str) -> None:
    page = Page(drift_history_page(name, history_of({name: [0.1, 0.5]}), [name]))
    assert "script" not in page.found
    assert (sanitize_line(name) or "(empty)") in page.text
    assert page.found["svg"] == 1


def test_the_pages_of_a_partition_and_of_a_feature_keep_any_name() -> None:
    assert asset_partition_page(["transak_i2", "drift_report"], "2026-04-12") == (
        "/assets/transak_i2/drift_report?view=partitions&partition=2026-04-12"
    )
    address = urlsplit(console_page(JOB_NAME, "af-finanzen", "Text & Typ=ü"))
    assert address.path == (
        "/vertex-ai/model-monitoring/locations/europe-west6/model-monitors/transak-i1-drift"
        "/model-monitoring-jobs/20260304-baseline-v1/feature-drift"
    )
    assert parse_qs(address.query) == {"project": ["af-finanzen"], "featureName": ["Text & Typ=ü"]}
    with pytest.raises(ValueError, match="modelMonitoringJobs"):
        console_page("projects/x/locations/y/endpoints/1", "x")
