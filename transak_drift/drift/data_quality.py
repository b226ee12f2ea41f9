"""Quality of a window's data beside their drift: missing, unseen, too few, of another type.

All is counted from the statistics that drift is computed from, and warns at most: what is wrong
with the data is for a person to see to, and no reason to train.
"""

from __future__ import annotations

import heapq
import math
import re
from calendar import SATURDAY
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from types import MappingProxyType

from pydantic import BaseModel

from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.config.sections import DataQuality
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)

MAX_SHOWN_VALUES, MAX_VALUE_LENGTH = 3, 60
MAX_SHOWN_FEATURES = 10
# What is usual, so many earlier windows say: of the last so many, so many with rows at least.
MAX_EARLIER_WINDOWS, MIN_EARLIER_WINDOWS = 12, 3
# An excess that is more probable than this where nothing has changed is no fault of the data.
_MAX_CHANCE = 1e-3
# Standard deviations by which a number of rows is beyond the chance of rare bookings.
_ROW_DEVIATIONS = 3.0
# Of texts that are numbers: in a column of numbers at least, and a change of kind at least.
_NUMERIC_SHARE, _NUMERIC_CHANGE = 0.9, 0.4
# What `canonical_text` makes of a number.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-][0-9]+)?")
# Drift beside it may train all the same.
_TRAINS_NOTHING = "this check trains nothing"


class FeatureQuality(BaseModel, extra="forbid", frozen=True):
    """What is missing or new in a feature's values, and what its baseline lets one expect.

    Shares are of all rows, in [0, 1], or None where they are not known: the note says why. The
    unseen values are the most frequent, at most 3. The type change is empty where there is none.
    """

    feature: str
    missing_share: float | None = None
    expected_missing_share: float | None = None
    unseen_share: float | None = None
    expected_unseen_share: float | None = None
    unseen_values: tuple[str, ...] = ()
    type_change: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class QualityVerdict:
    """What one check says of a window: passed, or what is wrong, and in either case a sentence."""

    check: str
    passed: bool
    description: str


def measure_quality(
    baseline: DatasetStatistics,
    target: DatasetStatistics,
    known_rows: Mapping[str, int] = MappingProxyType({}),
) -> tuple[FeatureQuality, ...]:
    """Measure each feature that both datasets have; nothing of a target without rows.

    The known rows are those that `compare_features` counted of categorical features; of others they
    are counted here.
    """
    return tuple(
        measure_feature(name, before, target.features[name], known_rows=known_rows.get(name))
        for name, before in baseline.features.items()
        if target.rows and name in target.features
    )


def measure_feature(
    feature: str,
    baseline: FeatureStatistics,
    target: FeatureStatistics,
    other_values: str | None = None,
    known_rows: int | None = None,
) -> FeatureQuality:
    """Compare what is missing, unseen and of another type in a target's feature.

    A value of a categorical feature is unseen if no row of the baseline has it. How many rows are
    expected to have such values, though nothing has changed, is estimated by N1 / N: N1 of the
    baseline's N rows have a value that occurs once (Good, "The population frequencies of species
    and the estimation of population parameters", Biometrika 40, 1953). So texts with a reference
    number, nearly all unique, may be nearly all unseen.

    A value of a numerical feature is unseen if it is outside of the baseline's range. Counted are
    buckets that lie outside as a whole, and the extremes: no row that is inside counts. Expected
    are 2 / (N + 1), the chance of a new minimum or maximum among exchangeable values. NaN values
    and infinities are unseen where the baseline has none.

    `other_values` stands for what a cut histogram leaves out: what is unseen is not known where the
    baseline's is cut, and is the least where the target's is.
    """
    present, rows = target.present, target.present + target.missing
    baseline_rows = baseline.present + baseline.missing
    note, unseen, values, expected = "", None, (), 0.0
    if isinstance(baseline, CategoricalStatistics) and isinstance(target, CategoricalStatistics):
        if other_values in baseline.counts:
            note = (
                f"unseen values are not known: the baseline's statistics have but its "
                f"{len(baseline.counts) - 1:,} most frequent values"
            )
        else:
            if known_rows is None:
                known_rows = sum(map(target.counts.get, baseline.counts, repeat(0)))
            unseen = present - known_rows - target.counts.get(other_values or "", 0)
            expected = list(baseline.counts.values()).count(1) / max(baseline_rows, 1)
            if not by_chance(unseen, rows, expected):
                values = _most_frequent_new(baseline, target, other_values)
    elif isinstance(baseline, NumericalStatistics) and isinstance(target, NumericalStatistics):
        unseen = _outside(baseline, target)
        expected = min(2 / (baseline_rows + 1), 1.0)
        if unseen and target.edges and target.edges != baseline.edges:
            values = (f"{target.edges[0]:g} to {target.edges[-1]:g}",)
    is_known = bool(rows and baseline.present)
    return FeatureQuality(
        feature=feature,
        missing_share=target.missing / rows if rows else None,
        expected_missing_share=baseline.missing / baseline_rows if baseline_rows else None,
        unseen_share=unseen / rows if is_known and unseen is not None else None,
        expected_unseen_share=expected if is_known and unseen is not None else None,
        unseen_values=tuple(map(_shortened, values)) if is_known else (),
        type_change=_type_change(baseline, target) if present and baseline.present else "",
        note=note,
    )


def _most_frequent_new(
    baseline: CategoricalStatistics, target: CategoricalStatistics, other_values: str | None
) -> list[str]:
    known, counts = baseline.counts, target.counts.items()
    new = ((-count, value) for value, count in counts if value not in known)
    found = heapq.nsmallest(MAX_SHOWN_VALUES, (it for it in new if it[1] != other_values))
    return [value for _, value in found]


def _shortened(value: str) -> str:
    return value if len(value) <= MAX_VALUE_LENGTH else f"{value[: MAX_VALUE_LENGTH - 1]}…"


def _outside(baseline: NumericalStatistics, target: NumericalStatistics) -> float:
    """Return how many values are outside of the baseline's range for certain."""
    outside = 0.0
    for name in ("nan", "negative_infinities", "positive_infinities"):
        outside += getattr(target, name) if not getattr(baseline, name) else 0
    if not (baseline.edges and target.edges):
        return outside + (math.fsum(target.counts) if not baseline.edges else 0.0)
    least, greatest = baseline.edges[0], baseline.edges[-1]
    below = above = 0.0
    for (low, high), count in zip(pairwise(target.edges), target.counts, strict=True):
        # The upper edge of a bucket belongs to the next, but for the last.
        below += count if high < least or (high == least and high < target.edges[-1]) else 0
        above += count if low > greatest else 0
    below = max(below, float(target.edges[0] < least))
    above = max(above, float(target.edges[-1] > greatest))
    return outside + below + above


def _type_change(baseline: FeatureStatistics, target: FeatureStatistics) -> str:
    """Say how a column's type changed: by its kind, as it is stored, or by its texts."""
    if baseline.kind != target.kind:
        return f"{baseline.kind} in the baseline, {target.kind} in the window"
    before, after = baseline.stored_as, target.stored_as
    if before and after and before != after:
        return f"stored as {before} in the baseline, as {after} in the window"
    if isinstance(baseline, CategoricalStatistics) and isinstance(target, CategoricalStatistics):
        if _is_numeric(baseline) == _is_numeric(target):
            return ""
        was, now = _numeric_share(baseline), _numeric_share(target)
        low, high = min(was, now), max(was, now)
        count = now * target.present if now > was else (1 - now) * target.present
        expected = was if now > was else 1 - was
        if high - low >= _NUMERIC_CHANGE and not by_chance(count, target.present, expected):
            return f"{was:.0%} of the baseline's values are numbers, {now:.0%} of the window's"
    return ""


def _is_numeric(statistics: CategoricalStatistics) -> bool:
    # Of text the first few values tell; none but numbers are looked at to the end.
    allowed = (1 - _NUMERIC_SHARE) * statistics.present
    for value, rows in statistics.counts.items():
        if not _NUMBER.fullmatch(value):
            allowed -= rows
            if allowed < 0:
                return False
    return True


def _numeric_share(statistics: CategoricalStatistics) -> float:
    counts = statistics.counts.items()
    return sum(rows for value, rows in counts if _NUMBER.fullmatch(value)) / statistics.present


def by_chance(count: float, rows: float, expected: float) -> bool:
    """Return whether a count of rows may be by chance where a share of them is expected.

    At most exp(-n D(k/n || p)) is the probability that k of n independent rows or more have what
    each has with the probability p, where D is the Kullback-Leibler divergence of two Bernoulli
    distributions (Chernoff 1952; Hoeffding 1963, theorem 1). By chance is what may be more probable
    than 1 in 1,000.
    """
    share = count / rows if rows else 0.0
    if share <= expected:
        return True
    if expected <= 0 or expected >= 1:
        return expected >= 1
    divergence = share * math.log(share / expected)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - expected))
    return rows * divergence < -math.log(_MAX_CHANCE)


def comparable_windows(calendar: WindowCalendar, window: Window) -> list[Window]:
    """Return the 12 windows before one, newest first; weekdays before a weekday, and so on."""
    found: list[Window] = []
    is_day, is_weekend = window.length == "day", _is_weekend(window)
    while len(found) < MAX_EARLIER_WINDOWS:
        window = calendar.before(window)
        if not is_day or _is_weekend(window) == is_weekend:
            found.append(window)
    return found


def _is_weekend(window: Window) -> bool:
    return window.first_day.weekday() >= SATURDAY


def usual_rows(earlier: Sequence[int]) -> float | None:
    """Return the median of the rows of earlier windows; None of fewer than 3 that have any."""
    counted = sorted(rows for rows in earlier if rows)
    if (number := len(counted)) < MIN_EARLIER_WINDOWS:
        return None
    return (counted[(number - 1) // 2] + counted[number // 2]) / 2


def quality_checks(limits: DataQuality) -> dict[str, str]:
    """Return the checks that are on, each with what it says of a window that passes."""
    checks: dict[str, str] = {}
    if (most := limits.maximum_missing_share) is not None:
        checks["missing_values"] = f"No feature's missing values exceed the baseline by {most:.1%}."
    if (most := limits.maximum_unseen_share) is not None:
        checks["unseen_values"] = f"No feature's unseen values exceed the expected by {most:.1%}."
    if (factor := limits.row_count_factor) is not None:
        checks["row_count"] = f"The rows are as usual, up to a factor of {factor:g}."
    if limits.column_types:
        checks["column_types"] = "Each column has the type that it has in the baseline."
    return checks


def judge_quality(
    limits: DataQuality,
    features: Sequence[FeatureQuality],
    rows: int | None,
    baseline_rows: int | None,
    usual: float | None,
) -> list[QualityVerdict]:
    """Judge a window by the limits: one verdict for each check that is on, see `quality_checks`.

    Rows are those of the window, of its baseline, and usual ones; None where they are not known.
    """
    verdicts = []
    for check in quality_checks(limits):
        if rows == 0:
            faults, passing, fix = [], "no rows to look at", ""
        elif check == "row_count":
            faults, passing = _row_faults(limits.row_count_factor, rows, usual)
            fix = "look whether the window's data are complete or there twice"
        elif not features:
            faults, passing, fix = [], "not measured when the report was recorded", ""
        elif check == "column_types":
            faults = [f"{it.feature}: {it.type_change}" for it in features if it.type_change]
            passing = "each column has the type that it has in the baseline"
            fix = "write the column as in the baseline, or train with the new form"
        else:
            faults, passing = _share_faults(check, limits, features, rows, baseline_rows)
            fix = "look at the columns of the window's data, for example at how they are exported"
        faulty = f"{_joined(faults)}. {fix[:1].upper()}{fix[1:]}; {_TRAINS_NOTHING}"
        verdicts.append(QualityVerdict(check, not faults, faulty if faults else passing))
    return verdicts


def _row_faults(
    factor: float | None, rows: int | None, usual: float | None
) -> tuple[list[str], str]:
    assert factor is not None
    if rows is None:
        return [], "the platform tells no rows"
    if usual is None:
        reason = f"fewer than {MIN_EARLIER_WINDOWS} earlier windows have rows"
        return [], f"nothing is usual yet: {reason}"
    found = f"{rows:,} rows, {usual:,.0f} are usual"
    is_beyond = rows * factor < usual or rows > usual * factor
    # Independent bookings are Poisson distributed.
    is_chance = abs(rows - usual) <= _ROW_DEVIATIONS * math.sqrt(usual)
    if not is_beyond or is_chance:
        return [], found
    return [f"{found} (allowed is a factor of {factor:g})"], found


def _share_faults(
    check: str,
    limits: DataQuality,
    features: Sequence[FeatureQuality],
    rows: int | None,
    baseline_rows: int | None,
) -> tuple[list[str], str]:
    faults, remarks = [], []
    is_missing = check == "missing_values"
    limit = limits.maximum_missing_share if is_missing else limits.maximum_unseen_share
    assert limit is not None
    for item in features:
        found, expected = item.missing_share, item.expected_missing_share
        what, known = "missing", "in the baseline"
        if not is_missing:
            found, expected = item.unseen_share, item.expected_unseen_share
            such = f" (such as {', '.join(item.unseen_values)})" if item.unseen_values else ""
            what, known = f"not in the baseline{such}", "expected"
        if found is None or expected is None:
            remarks += [f"{item.feature}: {item.note}"] if item.note else []
            continue
        text = f"{item.feature}: {found:.1%} of values {what}, {expected:.1%} {known}"
        remarks.append(text)
        probable = _probable_share(expected, baseline_rows)
        is_chance = rows is not None and by_chance(found * rows, rows, probable)
        if found - expected > limit and not is_chance:
            faults.append(f"{text}, allowed is an excess of {limit:.1%}")
    return faults, _joined(remarks) or "nothing to compare"


def _probable_share(expected: float, baseline_rows: int | None) -> float:
    """Return up to where a share may be that was estimated from the rows of a baseline.

    These are two standard deviations, where N1 / N has the variance (N1 + 2 N2) / N ** 2 (Good
    1953), N2 being about N1 / 2 in long-tailed texts; one more row might have had it in any case.
    """
    if not baseline_rows:
        return expected
    return max(expected + 2 * math.sqrt(2 * expected / baseline_rows), 1 / baseline_rows)


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - MAX_SHOWN_FEATURES
    shown = "; ".join(texts[:MAX_SHOWN_FEATURES])
    return f"{shown}; and {more} more" if more > 0 else shown
