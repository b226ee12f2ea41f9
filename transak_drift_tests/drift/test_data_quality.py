"""Data quality: what is missing, unseen, of another type or another number, and what is chance."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_window import WindowCalendar
from transak_drift.config.sections import DataQuality
from transak_drift.drift.data_quality import (
    FeatureQuality,
    by_chance,
    comparable_windows,
    judge_quality,
    measure_feature,
    measure_quality,
    quality_checks,
    usual_rows,
)
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    NumericalStatistics,
)

LIMITS = DataQuality()
CHECKS = ["missing_values", "unseen_values", "row_count", "column_types"]


def categorical(counts: dict[str, int], missing: int = 0, stored_as: str = ""):
    return CategoricalStatistics(counts, missing, stored_as)


def warnings(*features: FeatureQuality, rows: int = 1_000, usual: float | None = None):
    verdicts = judge_quality(LIMITS, features, rows, 10_000, usual)
    return {item.check: item.description for item in verdicts if not item.passed}


def drawn(random: Random, rows: int) -> CategoricalStatistics:
    """Draw texts of which most have a reference number of their own."""
    counts: dict[str, int] = {}
    for _ in range(rows):
        merchant = random.choice(("Migros", "Coop", "SBB"))
        reference = f" Ref. {random.randrange(10**9)}" if random.random() < 0.8 else ""
        counts[merchant + reference] = counts.get(merchant + reference, 0) + 1
    return categorical(counts)


def test_missing_values_beyond_the_baselines_warn_with_what_to_do() -> None:
    before = categorical({"card": 9_800}, missing=200)
    found = measure_feature("type", before, categorical({"card": 700}, missing=300))
    assert (found.missing_share, found.expected_missing_share) == (0.3, 0.02)
    text = warnings(found)["missing_values"]
    assert text.startswith("type: 30.0% of values missing, 2.0% in the baseline, allowed is")
    assert text.endswith("how they are exported; this check trains nothing")
    # 5 percentage points more are allowed, and what the baseline has is no fault.
    assert not warnings(measure_feature("type", before, categorical({"card": 950}, missing=50)))
    half = categorical({"card": 500}, missing=500)
    assert not warnings(measure_feature("type", half, half))


def test_a_category_that_the_baseline_lacks_is_unseen() -> None:
    before = categorical({"card": 6_000, "transfer": 4_000})
    after = categorical({"card": 800, "TWINT": 150, "cheque": 50})
    found = measure_feature("type", before, after)
    assert (found.unseen_share, found.expected_unseen_share) == (0.2, 0.0)
    assert found.unseen_values == ("TWINT", "cheque")
    text = warnings(found)["unseen_values"]
    assert "type: 20.0% of values not in the baseline (such as TWINT, cheque), 0.0% exp" in text


def test_nearly_unique_texts_warn_of_nothing_though_nearly_all_are_unseen() -> None:
    random = Random(7)
    baseline = drawn(random, 10_000)
    for rows in (10, 50, 1_000):
        for _ in range(20):
            found = measure_feature("description", baseline, drawn(random, rows))
            assert not warnings(found, rows=rows)
    assert found.unseen_share is not None
    assert found.unseen_share == pytest.approx(found.expected_unseen_share, abs=0.05)
    assert found.unseen_share > 0.7


def test_a_number_outside_of_the_baselines_range_is_unseen() -> None:
    before = NumericalStatistics((-100.0, 0.0, 100.0), (5_000, 5_000))
    after = NumericalStatistics((0.0, 100.0, 200.0, 300.0), (600, 100, 300))
    found = measure_feature("amount", before, after)
    # The bucket from 100 on may have the value 100 itself, which is inside.
    assert found.unseen_share == 0.3
    assert found.unseen_values == ("0 to 300",)
    assert found.expected_unseen_share == pytest.approx(2 / 10_001)
    assert "amount: 30.0% of values not in the baseline" in warnings(found)["unseen_values"]
    beyond = NumericalStatistics((-50.0, 99.0), (1_000,), nan=0, positive_infinities=100)
    assert measure_feature("amount", before, beyond).unseen_share == pytest.approx(100 / 1_100)


@given(
    st.lists(st.floats(-50, 50), min_size=2, max_size=30),
    st.lists(st.floats(-100, 100), min_size=2, max_size=30),
)
def test_no_value_within_the_range_counts_as_outside(baseline, target) -> None:
    np = pytest.importorskip("numpy")

    def statistics(values: list[float]) -> NumericalStatistics:
        low, high = min(values), max(values)
        if low == high or (high - low) / 10 < 1e-6:
            return NumericalStatistics((low, low), (len(values),))
        counts, edges = np.histogram(values, 10)
        return NumericalStatistics(tuple(edges.tolist()), tuple(counts.tolist()))

    before, after = statistics(baseline), statistics(target)
    outside = sum(not before.edges[0] <= value <= before.edges[-1] for value in target)
    if after.is_point:
        outside = len(target) if outside else 0
    share = measure_feature("amount", before, after).unseen_share
    assert share is not None
    assert share * len(target) <= outside + 1e-9
    assert bool(share) == bool(outside) or after.is_point


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            categorical({"a": 9}, stored_as="text"),
            categorical({"7": 9}, stored_as="number"),
            "stored as text in the baseline, as number in the window",
        ),
        (
            NumericalStatistics((0.0, 1.0), (9,), stored_as="number"),
            NumericalStatistics((0.0, 1.0), (9,), stored_as="text"),
            "stored as number in the baseline, as text in the window",
        ),
        (
            categorical({"card": 70, "transfer": 30}),
            categorical({"17": 20, "-4.5": 20}),
            "0% of the baseline's values are numbers, 100% of the window's",
        ),
        (
            categorical({"5411": 70, "5812": 30}),
            categorical({"grocery": 30, "restaurant": 20}),
            "100% of the baseline's values are numbers, 0% of the window's",
        ),
        (
            NumericalStatistics((0.0, 1.0), (9,)),
            categorical({"12,50": 9}),
            "numerical in the baseline, categorical in the window",
        ),
    ],
)
def test_a_column_of_another_type_is_said(before, after, words: str) -> None:
    found = measure_feature("amount", before, after)
    assert found.type_change == words
    assert warnings(found)["column_types"].startswith(f"amount: {words}. Write the column")
    assert not measure_feature("amount", before, before).type_change


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # A single number among the texts of a baseline with some is chance.
        (categorical({"a": 70, "5": 30}), categorical({"5": 2})),
        # Codes with a leading zero are texts on both sides.
        (categorical({"007": 9}), categorical({"008": 9})),
        # A CSV has no types.
        (categorical({"a": 9}, stored_as="text"), categorical({"a": 9})),
        (categorical({"a": 9}), categorical({}, missing=9, stored_as="number")),
    ],
)
def test_what_is_no_change_of_type(before, after) -> None:
    assert not measure_feature("type", before, after).type_change


def test_rows_are_compared_with_those_of_the_windows_before() -> None:
    assert usual_rows([5_000, 0, 5_100]) is None
    assert usual_rows([5_000, 0, 5_100, 4_000]) == 5_000.0
    assert usual_rows([1, 300, 500, 700]) == 400.0
    for rows, is_usual in ((300, True), (101, True), (899, True), (99, False), (901, False)):
        assert ("row_count" not in warnings(rows=rows, usual=300.0)) is is_usual
    assert warnings(rows=99, usual=300.0)["row_count"] == (
        "99 rows, 300 are usual (allowed is a factor of 3). Look whether the window's data are "
        "complete or there twice; this check trains nothing"
    )
    # Of rare bookings any small number is chance; an empty window is another matter.
    assert not warnings(rows=1, usual=6.0)
    assert not warnings(rows=0, usual=300.0)
    assert not warnings(rows=300, usual=None)


def test_a_window_is_compared_with_the_twelve_before_of_its_kind() -> None:
    days = WindowCalendar()
    friday, saturday = days.parse("2026-08-28"), days.parse("2026-08-29")
    weekdays = [window.first_day for window in comparable_windows(days, friday)]
    assert [str(day) for day in (weekdays[0], weekdays[-1])] == ["2026-08-27", "2026-08-12"]
    assert {day.weekday() for day in weekdays} == {0, 1, 2, 3, 4}
    weekend = [window.key for window in comparable_windows(days, saturday)]
    assert weekend[:3] == ["2026-08-23", "2026-08-22", "2026-08-16"]
    months = WindowCalendar("month")
    before = comparable_windows(months, months.parse("2026-08"))
    assert [window.key for window in (before[0], before[-1])] == ["2026-07", "2025-08"]
    assert len(weekdays) == len(weekend) == len(before) == 12


def test_many_features_and_long_values_are_shortened() -> None:
    before, after = categorical({"a": 1_000}), categorical({"x" * 500: 500, "a": 500})
    found = [measure_feature(f"feature {n}", before, after) for n in range(12)]
    assert found[0].unseen_values == ("x" * 59 + "…",)
    text = warnings(*found)["unseen_values"]
    assert "feature 9:" in text and "feature 10:" not in text
    assert "; and 2 more. Look at the columns" in text


def test_a_cut_histogram_warns_of_no_unseen_value_and_says_so() -> None:
    full = categorical({"a": 600, "b": 400})
    cut = categorical({"a": 600, "(other)": 400})
    found = measure_feature("type", cut, full, "(other)")
    assert found.unseen_share is None
    [text] = [it.description for it in judge_quality(LIMITS, [found], 1_000, 1_000, None)[1:2]]
    assert "unseen values are not known: the baseline's statistics have but its 1 most" in text
    assert not warnings(found)
    # What the target leaves out may well be known.
    assert measure_feature("type", full, cut, "(other)").unseen_share == 0.0


def test_a_check_can_be_switched_off_and_the_others_stay() -> None:
    assert list(quality_checks(LIMITS)) == CHECKS
    off = {
        "maximum_missing_share": None,
        "maximum_unseen_share": None,
        "row_count_factor": None,
        "column_types": False,
    }
    for key, value in off.items():
        limits = DataQuality.model_validate({key: value})
        assert len(quality_checks(limits)) == 3
        verdicts = judge_quality(limits, [], 10, 10, 10.0)
        assert [it.check for it in verdicts] == list(quality_checks(limits))
    assert judge_quality(DataQuality.model_validate(off), [], 10, 10, 10.0) == []


def test_what_is_not_known_warns_of_nothing() -> None:
    empty = DatasetStatistics(0, {"type": categorical({})})
    full = DatasetStatistics(10, {"type": categorical({"a": 10})})
    assert measure_quality(full, empty) == ()
    [of_no_baseline] = measure_quality(empty, full)
    assert of_no_baseline.unseen_share is None
    assert not warnings(of_no_baseline)
    verdicts = judge_quality(LIMITS, [], None, None, None)
    assert [item.passed for item in verdicts] == [True] * 4
    assert verdicts[0].description == "not measured when the report was recorded"
    assert verdicts[2].description == "the platform tells no rows"


@given(st.integers(1, 40), st.floats(0.001, 0.999), st.data())
def test_chance_is_never_less_probable_than_one_in_a_thousand(rows, expected, data) -> None:
    """What is not called chance has a binomial tail of at most 1 in 1,000, computed exactly."""
    count = data.draw(st.integers(0, rows))
    tail = math.fsum(
        math.comb(rows, k) * expected**k * (1 - expected) ** (rows - k)
        for k in range(count, rows + 1)
    )
    assert by_chance(count, rows, expected) or tail <= 1e-3 * (1 + 1e-9)
    assert by_chance(count, rows, 0.0) is (count == 0)


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 50), min_size=1),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 50), min_size=1),
)
def test_what_the_comparison_has_looked_up_gives_the_same_quality(before, after) -> None:
    baseline, target = (
        DatasetStatistics(sum(counts.values()), {"type": categorical(counts)})
        for counts in (before, after)
    )
    known: dict[str, int] = {}
    compare_features(baseline, target, {"type": 0.3}, known_rows=known)
    unseen = sum(rows for value, rows in after.items() if value not in before)
    assert known == {"type": target.rows - unseen}
    [found] = measure_quality(baseline, target)
    assert (found,) == measure_quality(baseline, target, known)
    assert found.unseen_share == unseen / target.rows
