"""The report page as a document: complete, escaped, repeatable."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.reports.report_charts import DARK, LIGHT, feature_chart, printable
from transak_drift.reports.report_page import drift_report_page
from transak_drift_tests.reports.report_results import (
    AMOUNT,
    DRIFTED,
    HOSTILE,
    LONG,
    QUIET,
    TYPE,
    description,
    result_of,
)


class Page(HTMLParser):
    """What a browser would make of a page, as far as the tests ask."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.pieces: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    @property
    def pictures(self) -> list[str]:
        return [value for name, value in self.attributes if name in ("src", "srcset")]


def test_the_page_tells_what_the_run_found() -> None:
    page = Page(drift_report_page(DRIFTED))
    assert "Drift report of 2026-03-04" in page.text
    assert "Drift in description" in page.text
    assert "5,000 rows of the day against training data of model v1 with 140,000 rows" in page.text
    assert DRIFTED.job_name in page.text
    assert "description: drift L-infinity distance 0.3100, threshold 0.3" in page.text
    assert "type: ok L-infinity distance 0.0400, threshold 0.3" in page.text
    assert "amount: no data Jensen–Shannon divergence –, threshold 0.2" in page.text
    assert AMOUNT.note in page.text
    assert "card payment 42.0% 46.0% +4.0%" in page.text
    assert LONG in page.text


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


def test_a_result_without_row_counts_is_told_without_them() -> None:
    result = QUIET.model_copy(update={"baseline_rows": None, "target_rows": None})
    text = Page(drift_report_page(result)).text
    assert "The day against training data of model v1." in text
    assert "None" not in text


def test_the_same_result_gives_the_same_page() -> None:
    assert drift_report_page(DRIFTED) == drift_report_page(DRIFTED)


def test_text_of_transactions_is_shown_and_never_obeyed() -> None:
    page = Page(drift_report_page(DRIFTED))
    assert page.text.count(HOSTILE) == 2
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.pictures
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.pictures)


def test_every_feature_with_a_distance_has_a_light_and_a_dark_picture() -> None:
    pictures = Page(drift_report_page(DRIFTED)).pictures
    assert len(pictures) == 2 * 2
    drawn = [base64.b64decode(uri.partition(",")[2]).decode() for uri in pictures]
    assert sum(DARK.drift in svg for svg in drawn) == sum(LIGHT.drift in svg for svg in drawn) == 1
    assert sum(DARK.text in svg for svg in drawn) == sum(LIGHT.text in svg for svg in drawn) == 2


def test_a_dollar_sign_starts_no_formula() -> None:
    svg = feature_chart(description("price $x^2$ 10%"), LIGHT).decode()
    assert "price $x^2$ 10%" in svg


@settings(max_examples=12, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_a_whole_page(value: str) -> None:
    document = drift_report_page(result_of(description(value), baseline_name=value))
    page = Page(document)
    assert "script" not in page.tags
    assert " ".join(printable(value).split()) in page.text
    document.encode("utf-8")
    for uri in page.pictures:
        svg = ElementTree.fromstring(base64.b64decode(uri.partition(",")[2]))
        assert svg.tag.endswith("svg")
        assert not [item for item in svg.iter() if item.tag.endswith(("script", "foreignObject"))]


def test_control_characters_and_lone_surrogates_are_replaced() -> None:
    assert printable("a\x00b\x1b\u202e\ud800c") == "a\ufffdb\ufffd\ufffd\ufffdc"
    assert printable("") == "(empty)"
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", drift_report_page(result_of(TYPE)))
