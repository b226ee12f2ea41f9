"""The distances on small datasets worked out by hand, and what cannot be compared."""

from __future__ import annotations

import math

import pytest

from transak_drift.drift.drift_statistics import (
    DistanceMetric,
    EmptyFeatureError,
    FeatureMismatchError,
    compare_features,
    feature_distance,
    top_contributors,
)
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.monitoring_result import NO_BOOKINGS, FeatureDrift

TRANSFERS = CategoricalStatistics({"CARD": 60, "TRANSFER": 30, "FEE": 10}, missing=7)
CARDS = CategoricalStatistics({"CARD": 180, "TWINT": 20})
NO_VALUE = CategoricalStatistics({}, missing=3)


def datasets(*features: FeatureStatistics) -> list[DatasetStatistics]:
    """Return datasets of one feature each."""
    return [DatasetStatistics(int(f.present) + f.missing, {"type": f}) for f in features]


def distance(baseline: FeatureStatistics, target: FeatureStatistics) -> float:
    return feature_distance("type", *datasets(baseline, target)).distance


def _point(value: float, count: int, *, nan: int = 0, missing: int = 0) -> NumericalStatistics:
    return NumericalStatistics((value, value), (count,), value, value, nan=nan, missing=missing)


def test_nulls_count_nowhere_and_unseen_values_as_0() -> None:
    # CARD 0.6 -> 0.9, TRANSFER 0.3 -> 0, FEE 0.1 -> 0, TWINT 0 -> 0.1
    assert distance(TRANSFERS, CARDS) == pytest.approx(0.3)


def test_contributors_tell_the_shares_and_the_greatest_change_first() -> None:
    found = top_contributors(TRANSFERS, CARDS, limit=3)
    assert [(item.value, item.baseline_share, item.target_share) for item in found] == [
        ("CARD", 0.6, 0.9),
        ("TRANSFER", 0.3, 0.0),
        ("FEE", 0.1, 0.0),
    ]
    assert found[0].change == pytest.approx(0.3)
    assert found[1].change == pytest.approx(-0.3)


def test_unchanged_values_are_no_contributors() -> None:
    assert top_contributors(TRANSFERS, TRANSFERS) == ()


def test_divergence_of_two_point_masses_is_worked_out_by_hand() -> None:
    # P = (2/3 at 1, 1/3 NaN), Q = (1 at 1): M = (5/6, 1/6)
    expected = (2 / 3 * math.log2(4 / 5) + 1 / 3 * math.log2(2) + math.log2(6 / 5)) / 2
    divergence = distance(_point(1.0, 2, nan=1), _point(1.0, 9))
    assert divergence == pytest.approx(expected, abs=1e-12)


def test_mass_is_spread_evenly_over_a_bucket() -> None:
    # (0, 4) holds one bucket's mass, of which half is in (0, 2): P = (1/2, 1/2), Q = (1, 0).
    wide = NumericalStatistics((0.0, 4.0), (6,), 0.0, 4.0)
    narrow = NumericalStatistics((0.0, 2.0), (3,), 0.0, 2.0)
    expected = (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(2) + math.log2(1 / 0.75)) / 2
    assert distance(wide, narrow) == pytest.approx(expected, abs=1e-12)
    (grew, shrank) = top_contributors(wide, narrow)
    assert (grew.value, grew.baseline_share, grew.target_share) == ("0.0 to 2.0", 0.5, 1.0)
    assert (shrank.value, shrank.baseline_share, shrank.target_share) == ("2.0 to 4.0", 0.5, 0.0)


def test_infinities_and_nan_match_nothing_of_the_other_side() -> None:
    both = NumericalStatistics((), (), None, None, positive_infinities=2, nan=2)
    assert distance(both, both) == 1


def test_ranges_beyond_the_greatest_float_are_divided() -> None:
    greatest = 1.7e308
    wide = NumericalStatistics((-greatest, greatest), (4,), -greatest, greatest)
    half = NumericalStatistics((0.0, greatest), (4,), 0.0, greatest)
    expected = (0.5 * math.log2(2) + 0.5 * math.log2(0.5 / 0.75) + math.log2(1 / 0.75)) / 2
    assert distance(wide, half) == pytest.approx(expected, abs=1e-12)


def test_the_metric_follows_the_kind() -> None:
    of_type, of_amount = compare_features(
        DatasetStatistics(107, {"type": TRANSFERS, "amount": _point(1.0, 100, missing=7)}),
        DatasetStatistics(200, {"type": CARDS, "amount": _point(2.0, 200)}),
        {"type": 0.25, "amount": 1.0},
    )
    assert (of_type.metric, of_type.drifted) == (DistanceMetric.L_INFINITY, True)
    assert of_type.distance == pytest.approx(0.3)
    assert of_type.contributors[0].value == "CARD"
    assert (of_amount.metric, of_amount.drifted) == ("jensen_shannon_divergence", False)
    assert of_amount.distance == 1
    assert {item.value for item in of_amount.contributors} == {"1.0", "2.0"}


@pytest.mark.parametrize(
    ("baseline", "target", "told"),
    [
        (TRANSFERS, NO_VALUE, "target dataset (all 3 rows are null)"),
        (NO_VALUE, CARDS, "baseline dataset (all 3 rows are null)"),
        (CategoricalStatistics({}), CARDS, "baseline dataset (the dataset has no rows)"),
        # An all-null column has no type, so emptiness is told before a difference of kinds.
        (_point(1.0, 1), NO_VALUE, "target dataset (all 3 rows are null)"),
    ],
)
def test_a_feature_without_a_value_is_told_with_its_side(
    baseline: FeatureStatistics, target: FeatureStatistics, told: str
) -> None:
    with pytest.raises(EmptyFeatureError):
        distance(baseline, target)
    before, after = datasets(baseline, target)
    [found] = compare_features(before, after, {"type": 0.3})
    assert (found.distance, found.verdict) == (None, "no data")
    assert found.note.startswith(f"feature 'type' has no value in the {told}")


def test_a_day_without_rows_has_no_bookings() -> None:
    before, after = datasets(_point(1.0, 1), CategoricalStatistics({}))
    [found] = compare_features(before, after, {"type": 0.3})
    assert (found.note, found.metric) == (NO_BOOKINGS, "jensen_shannon_divergence")


def test_kinds_that_differ_are_told() -> None:
    told = "'type' is categorical in the baseline and numerical in the target"
    with pytest.raises(FeatureMismatchError, match=told):
        distance(TRANSFERS, _point(1.0, 1))


def test_a_feature_that_was_not_scanned_is_told_with_those_that_were() -> None:
    told = r"the baseline dataset has no statistics of feature 'typ' \(it has 'type'\)"
    with pytest.raises(FeatureMismatchError, match=told):
        feature_distance("typ", *datasets(TRANSFERS, TRANSFERS))


@pytest.mark.parametrize(("found", "kept"), [(1.0000000000000002, 1.0), (1.0, 1.0), (0.999, 0.999)])
def test_a_distance_a_hair_above_1_is_1(found: float, kept: float) -> None:
    result = FeatureDrift(feature="amount", metric="", distance=found, threshold=1.0)
    assert (result.distance, result.drifted) == (kept, False)
