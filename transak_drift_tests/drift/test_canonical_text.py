"""One text for each value, whatever text a file has for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.drift.canonical_text import canonical_counts, canonical_text


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["true", "True", "TRUE"], "true"),
        (["12", "12.0", "12.00"], "12"),
        (["-1.5", "-1.50"], "-1.5"),
        (["0.5", ".5", ".50"], "0.5"),
        (["0", "0.0", "-0", "-0.0"], "0"),
        (["0.00001", "1e-05", "1e-5", "1.0E-5", "0.0000100"], "0.00001"),
        (["1234567890123456", "1234567890123456.0", "1.234567890123456E15"], "1234567890123456"),
        (["9007199254740993", "9007199254740993.000"], "9007199254740993"),
        (["2026-01-31", "2026-01-31 00:00:00", "2026-01-31 00:00:00 UTC"], "2026-01-31"),
        (
            [
                "2026-01-31 09:00:00.5",
                "2026-01-31T09:00:00.500000Z",
                "2026-01-31 10:00:00.50 +0100",
            ],
            "2026-01-31 09:00:00.5",
        ),
        (["2026-01-31 00:00:00.000000001"], "2026-01-31 00:00:00.000000001"),
    ],
)
def test_texts_of_one_value(texts: list[str], canonical: str) -> None:
    assert {canonical_text(text) for text in texts} == {canonical}


OTHER_TEXTS = (
    "007 -007 00 1_000 1e5 12E3 0x10 1,5 1.2.3 5. - . +41 31.01.2026 truely 1e+300 ß "
    "2026-02-30T00:00:00 2026-01-31T25:00"
)


@pytest.mark.parametrize("text", [*OTHER_TEXTS.split(), " 1"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert canonical_text(text) == text


@given(st.text())
def test_a_canonical_text_is_its_own(text: str) -> None:
    assert canonical_text(canonical_text(text)) == canonical_text(text)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-1e9, max_value=1e9),
)
def test_a_number_keeps_its_value_in_any_form(real: float, whole: int, exact: Decimal) -> None:
    assert float(canonical_text(repr(real))) == real
    assert canonical_text(str(whole)) == str(whole)
    # An integer is the same as its float where that is exact.
    assert canonical_text(repr(float(whole))) == str(int(float(whole)))
    plain = canonical_text(f"{exact:f}")
    assert Decimal(plain) == exact
    assert canonical_text(f"{exact:.9f}") == plain
    assert all(canonical_text(text) == text for text in (canonical_text(repr(real)), plain))


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.integers(-12, 14))
def test_a_moment_is_the_same_in_any_zone(moment: datetime, hours: int) -> None:
    in_utc = moment.replace(tzinfo=UTC)
    elsewhere = in_utc.astimezone(timezone(timedelta(hours=hours)))
    texts = [moment.isoformat(), in_utc.isoformat(" "), elsewhere.isoformat()]
    assert len({canonical_text(text) for text in texts}) == 1


@given(st.dictionaries(st.none() | st.text("tTrue01.-e+", max_size=6), st.integers(1, 9)))
def test_counting_loses_no_row(counts: dict[str | None, int]) -> None:
    rows = sum(counts.values())
    missing = counts.get(None, 0) + counts.get("", 0)
    found, found_missing = canonical_counts(dict(counts))
    assert found_missing == missing
    assert sum(found.values()) + missing == rows
    assert all(canonical_text(text) == text for text in found)
