"""Which labels of a window suffice to train on, and what is said where they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.sections import LabelPolicy
from transak_drift.training.labels import (
    MAX_CLASSES,
    LabelCounts,
    LabelVerdict,
    judge_labels,
    read_counts,
)

CLASSES = ("food", "rent", "travel")


def counts(
    by_label: dict[str, int], unlabelled: int = 0, champion: tuple[str, ...] | None = CLASSES
) -> LabelCounts:
    labelled = sum(by_label.values())
    return LabelCounts(
        rows=labelled + unlabelled,
        labelled=labelled,
        by_label=by_label,
        value_column="description",
        without_label=(("MGB", unlabelled),) if unlabelled else (),
        champion_classes=champion,
    )


def judge(found: LabelCounts, **policy: object) -> LabelVerdict:
    return judge_labels(found, LabelPolicy.model_validate(policy), "category")


@pytest.mark.parametrize(
    ("found", "policy", "problems"),
    [
        (counts({"food": 95}, unlabelled=5), {}, []),
        (
            counts({"food": 949}, unlabelled=51),
            {},
            [
                "949 of 1000 rows have a label in 'category' (94.9%), at least 95.0% are needed; "
                "without one, by description: 'MGB' (51)"
            ],
        ),
        (
            counts({"food": 9, "gym": 2}),
            {},
            [
                "labels that the champion does not know: 'gym' (2); correct them, or name all "
                "classes in labels.expected"
            ],
        ),
        (counts({"food": 9, "gym": 2}), {"expected": ["food", "gym"]}, []),
        (counts({"food": 9, "gym": 2}, champion=None), {}, []),
        (
            counts({"food": 9, "rent": 1}),
            {"minimum_per_class": 5},
            ["classes with fewer than 5 labelled rows: 'travel' (0), 'rent' (1)"],
        ),
        (counts({"food": 9}), {"expected": ["food", "1.0"], "minimum_per_class": 9}, ["'1' (0)"]),
        (counts({}), {}, ["the window has no rows"]),
        (
            counts({}, unlabelled=3).model_copy(update={"has_column": False}),
            {},
            ["the rows have no column 'category' with their labels; without one, by description"],
        ),
        (
            LabelCounts(
                rows=5_000, labelled=5_000, by_label={str(n): 1 for n in range(MAX_CLASSES + 1)}
            ),
            {},
            ["more than 1,000 different labels: name the column with the classes (labels.column)"],
        ),
    ],
)
def test_what_lacks_is_said_with_its_numbers(
    found: LabelCounts, policy: dict[str, object], problems: list[str]
) -> None:
    verdict = judge(found, **policy)
    assert len(verdict.problems) == len(problems), verdict.problems
    for said, expected in zip(verdict.problems, problems, strict=True):
        assert expected in said
    assert verdict.is_complete == (not problems)
    assert verdict.summary()


def test_texts_of_the_data_are_cut_and_harmless() -> None:
    hostile = "\x1b[2J\n" + "x" * 500
    found = counts({"food": 1}, champion=None)
    without = tuple((f"{n} {hostile}", 10) for n in range(20))
    verdict = judge(found.model_copy(update={"rows": 500, "without_label": without}))
    assert len(verdict.without_label) == 5
    assert all(len(item.name) <= 70 and item.name.isprintable() for item in verdict.without_label)
    assert "and more" in verdict.summary()
    assert len(verdict.summary()) < 600


texts = st.none() | st.sampled_from(["food", "rent", " ", "\t", "\N{NO-BREAK SPACE}", "1.0", "1"])


@given(st.lists(st.tuples(texts, st.integers(1, 50))), st.lists(st.tuples(texts, st.integers(1))))
def test_no_white_space_is_a_label_and_each_row_is_counted_once(
    labels: list[tuple[str | None, int]], values: list[tuple[str | None, int]]
) -> None:
    named = [("label", text, rows) for text, rows in labels if text is not None]
    total = sum(rows for _, rows in labels)
    labelled = sum(rows for *_, rows in named)
    found = read_counts(
        [
            ("rows", None, total),
            ("labelled", None, labelled),
            *named,
            *(("value", text, rows) for text, rows in values),
        ],
        "description",
    )
    assert found.rows == total
    assert found.labelled == sum(found.by_label.values()) <= labelled
    assert found.by_label.keys() <= {"food", "rent", "1"}
    assert [rows for _, rows in found.without_label] == sorted(
        (rows for _, rows in found.without_label), reverse=True
    )


policies = st.builds(
    LabelPolicy,
    expected=st.none() | st.just(CLASSES),
    minimum_per_class=st.integers(0, 20),
    minimum_share=st.floats(0.01, 1.0),
)


@given(
    policy=policies,
    rows=st.dictionaries(st.sampled_from([*CLASSES, "gym"]), st.integers(1, 60)),
    unlabelled=st.integers(0, 60),
    label=st.sampled_from(CLASSES),
)
def test_a_further_label_of_a_known_class_never_spoils_what_suffices(
    policy: LabelPolicy, rows: dict[str, int], unlabelled: int, label: str
) -> None:
    before = judge_labels(counts(rows, unlabelled + 1), policy, "category")
    rows[label] = rows.get(label, 0) + 1
    after = judge_labels(counts(rows, unlabelled), policy, "category")
    assert after.is_complete >= before.is_complete
    if after.is_complete:
        assert after.labelled / after.rows >= policy.minimum_share
        assert "gym" not in rows
        assert all(rows.get(name, 0) >= policy.minimum_per_class for name in CLASSES)
