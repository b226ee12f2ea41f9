"""The page and the picture of a model: why it was promoted or not, complete and escaped."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree

import pytest

from transak_drift.reports.model_charts import matrix_chart, model_picture
from transak_drift.training.comparison import MAX_MATRIX_LABELS
from transak_drift.training.promotion import Comparison
from transak_drift_tests.reports.report_results import (
    FIRST_MODEL,
    FORGETFUL,
    HOSTILE,
    LONG,
    MANY_CLASSES,
    NO_RECENT,
    judged,
    page_of,
    set_of,
)
from transak_drift_tests.reports.test_pages import Page

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("comparison", "worse", "better"),
    [
        (FORGETFUL, "historical", "recent"),
        (
            judged(
                set_of("recent", 12, 900, (0.4, 0.03)),
                set_of("historical", 12, 4_000, (0.02, 0.2)),
            ),
            "recent",
            "historical",
        ),
    ],
)
def test_the_page_says_why_a_challenger_is_not_promoted(
    comparison: Comparison, worse: str, better: str
) -> None:
    page = Page(page_of(comparison))
    assert "Not promoted: version 2 stays" in page.text
    assert f"worse on {worse} rows: macro F1 0." in page.text
    assert "which is worse by more than 0.02" in page.text
    assert f"worse on {worse} rows of the class 'class 0': F1 0." in page.text
    assert f"; not worse on {better} rows" not in page.text
    assert f"not worse on {better} rows" in page.text
    assert page.found["svg"] == 6
    for title in ("Challenger", "Champion", "Calibration", "Classes"):
        assert f"{title}, {worse} rows" in page.text


def test_texts_are_escaped_and_long_ones_whole_or_cut() -> None:
    page = Page(page_of(FORGETFUL))
    assert HOSTILE in page.text
    assert page.found["script"] == page.found["img"] == 0
    assert LONG[:120] in page.text


def test_many_classes_are_all_in_the_table_and_the_commonest_in_the_picture() -> None:
    page = Page(page_of(MANY_CLASSES))
    found = MANY_CLASSES.sets[1]
    assert len(found.classes) == 70
    assert all(item.label in page.text for item in found.classes)
    assert page.text.count("(all others)") == 4
    chart = matrix_chart(found.challenger, found)
    assert chart is not None
    assert chart.shapes.count("<rect") <= (MAX_MATRIX_LABELS + 1) ** 2


def test_without_champion_or_rows_or_comparison_the_page_says_so() -> None:
    page = Page(page_of(FIRST_MODEL, None))
    assert "Promoted first model: there is no champion to beat" in page.text
    assert "champion's F1" not in page.text
    assert page.found["svg"] == 2
    page = Page(page_of(NO_RECENT))
    assert "there are no recent rows, so that they decide nothing" in page.text
    assert "Recent rows: 0 There are none" in page.text
    assert page.found["svg"] == 3
    page = Page(page_of(None))
    assert "No comparison on held-out rows is recorded of this version." in page.text


def test_the_picture_has_each_model_and_its_numbers() -> None:
    [encoded] = re.findall(r"base64,([^)]+)\)", model_picture(FORGETFUL))
    svg = ElementTree.fromstring(base64.b64decode(encoded))
    words = [item.text or "" for item in svg.iter(f"{SVG}text")]
    assert words.count("true class") == 4
    assert "champion, historical rows" in words
    found = FORGETFUL.sets[0].challenger
    assert {str(found.matrix[n][n]) for n in range(3)} <= set(words)
    assert model_picture(judged()) == "no data"
