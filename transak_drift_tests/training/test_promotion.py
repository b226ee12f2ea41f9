"""Who replaces the champion: both kinds of held-out rows, each class, and chance."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support

from transak_drift.config.sections import PromotionPolicy
from transak_drift.training.comparison import Predictions, compare_models
from transak_drift.training.promotion import (
    MAX_CLASSES,
    Comparison,
    Interval,
    SetComparison,
    SetName,
    judge_challenger,
)
from transak_drift_tests.config.configurations import faults_after

POLICY = PromotionPolicy()


def said(labels: list[str], probability: float = 0.9) -> Predictions:
    share = np.full(len(labels), probability)
    return Predictions(np.array(labels, dtype=object), share, share)


def compared(
    name: SetName, labels: list[str], challenger: list[str], champion: list[str] | None
) -> SetComparison:
    return compare_models(
        name,
        np.array(labels, dtype=object),
        np.array([f"shop {number}" for number in range(len(labels))], dtype=object),
        said(challenger),
        None if champion is None else said(champion),
    )


def with_errors(labels: list[str], every: int, answer: str = "other") -> list[str]:
    """Answer rightly but for every so manieth row."""
    return [answer if n % every == 0 else label for n, label in enumerate(labels)]


LABELS = ["food", "travel", "rent", "other"] * 150
GOOD, BAD = with_errors(LABELS, 50), with_errors(LABELS, 5)


@pytest.mark.parametrize("worse", ["recent", "historical"])
def test_better_on_one_kind_of_rows_and_worse_on_the_other_is_not_promoted(worse: str) -> None:
    sets = [
        compared("recent", LABELS, *((BAD, GOOD) if worse == "recent" else (GOOD, BAD))),
        compared("historical", LABELS, *((BAD, GOOD) if worse == "historical" else (GOOD, BAD))),
    ]
    found = judge_challenger(sets, POLICY)
    assert not found.promoted
    assert found.reasons[0].startswith(f"worse on {worse} rows: macro F1 0.")
    assert "600" in found.reasons[0]
    assert found.reasons[-1].startswith("not worse on ")
    assert judge_challenger([sets[worse == "recent"]], POLICY).promoted


def test_one_class_traded_for_the_rest_is_blocked_by_name() -> None:
    labels = ["food"] * 400 + ["travel"] * 400 + ["rent"] * 400 + ["health"] * 40
    champion = with_errors(labels, 4, "food")
    challenger = ["food" if label == "health" else label for label in labels]
    found = compared("historical", labels, challenger, champion)
    assert found.champion is not None and found.difference is not None
    judged = judge_challenger([found], PromotionPolicy(maximum_loss=0.5))
    assert not judged.promoted
    [reason] = [reason for reason in judged.reasons if "class" in reason]
    assert "worse on historical rows of the class 'health': F1 0.0000 against 0.8" in reason
    assert "on 40 rows" in reason
    assert not [reason for reason in judged.reasons if reason.startswith("not worse")]
    lenient = PromotionPolicy(maximum_loss=0.5, maximum_class_loss=0.99)
    assert judge_challenger([found], lenient).promoted


def test_a_handful_of_rows_decides_nothing() -> None:
    few = ["a", "b"] * 4
    sets = [compared("recent", few, ["b", "a"] * 4, few), compared("historical", [], [], [])]
    found = judge_challenger(sets, POLICY)
    assert found.promoted
    assert found.reasons[0].startswith("too few recent rows of 10 that decide")
    assert found.reasons[1] == "there are no historical rows, so that they decide nothing"
    # All of a class of nine rows are wrong; it is named nowhere, as the rest outweighs it.
    labels = ["a", "b"] * 500 + ["rare"] * 9
    answers = ["a" if label == "rare" else label for label in labels]
    found = judge_challenger([compared("recent", labels, answers, labels)], POLICY)
    assert not any("class" in reason for reason in found.reasons)
    # A difference that chance explains: three of sixty rows.
    nothing = [compared("recent", [], [], []), compared("historical", [], [], [])]
    found = judge_challenger(nothing, POLICY)
    assert found.promoted
    assert [reason[:16] for reason in found.reasons] == ["there are no rec", "there are no his"]
    # One row more is no handful, nor is it of a class.
    few = [*few, "a", "b"]
    worse = compared("recent", few, [{"a": "b", "b": "a"}[label] for label in few], few)
    assert not judge_challenger([worse], POLICY).promoted
    [item] = compared("recent", ["a"] * 10, ["b"] * 10, ["a"] * 10).classes
    alone = worse.model_copy(update={"difference": None, "classes": (item,)})
    assert not judge_challenger([alone], POLICY).promoted
    labels = ["a", "b"] * 30
    answers = with_errors(labels, 20, "b")
    found = judge_challenger([compared("recent", labels, answers, labels)], POLICY)
    assert found.promoted
    assert "not worse on recent rows" in found.reasons[0]


def test_a_difference_as_large_as_is_tolerated_is_tolerated() -> None:
    found = compared("recent", LABELS, GOOD, GOOD)
    for beyond, promoted in ((1e-12, True), (1e-6, False)):
        edge = Interval(low=-0.5, high=-POLICY.maximum_loss - beyond)
        judged = judge_challenger([found.model_copy(update={"difference": edge})], POLICY)
        assert judged.promoted is promoted


def test_without_a_champion_the_first_model_is_promoted() -> None:
    found = judge_challenger([compared("recent", LABELS, BAD, None)], POLICY)
    assert found.promoted
    assert found.reasons[0].startswith("first model: there is no champion to beat; macro F1 0.")
    assert found.sets[0].difference is None
    found = judge_challenger([compared("recent", [], [], None)], POLICY)
    assert (found.promoted, len(found.reasons)) == (True, 1)


label = st.sampled_from(["a", "b", "c", "", "Ω", "a b"])
rows = st.lists(st.tuples(label, label, label), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_scores_are_those_of_scikit_learn(rows: list[tuple[str, str, str]]) -> None:
    true, challenger, champion = (list(column) for column in zip(*rows, strict=True))
    found = compared("recent", true, challenger, champion)
    occurring = sorted(set(true))
    assert found.champion is not None
    for model, answers in ((found.challenger, challenger), (found.champion, champion)):
        macro = f1_score(true, answers, labels=occurring, average="macro", zero_division=0.0)
        assert model.scores.macro_f1 == pytest.approx(macro)
        assert model.scores.accuracy == pytest.approx(accuracy_score(true, answers))
        assert sum(map(sum, model.matrix)) == len(true) == model.scores.rows
        errors = sum(a != b for a, b in zip(true, answers, strict=True))
        assert sum(item.rows for item in model.confusions) <= errors
        assert sum(item.rows for item in model.calibration) == len(true)
    expected = precision_recall_fscore_support(
        true, challenger, labels=[item.label for item in found.classes], zero_division=0.0
    )
    for item, precision, recall, f1, count in zip(found.classes, *expected, strict=True):
        scores = item.challenger
        found_scores = (scores.precision, scores.recall, scores.f1, item.rows)
        assert found_scores == pytest.approx((precision, recall, f1, count))
        assert item.difference is not None and item.difference.low <= item.difference.high
    # The same rows have the same intervals, and swapped models the mirrored ones.
    assert compared("recent", true, challenger, champion) == found
    mirrored = compared("recent", true, champion, challenger)
    assert found.difference is not None and mirrored.difference is not None
    assert abs(found.difference.low + mirrored.difference.high) < 0.15


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    random, covered, worlds = np.random.default_rng(0), 0, 200
    for _ in range(worlds):
        true = random.choice(["a", "b"], 300)
        flip = {"a": "b", "b": "a"}
        answers = [
            [flip[item] if wrong else item for item, wrong in zip(true, chance, strict=True)]
            for chance in (random.random(300) < 0.2, random.random(300) < 0.1)
        ]
        found = compared("recent", list(true), *answers).difference
        # With classes of one size macro F1 is about the share that is right.
        assert found is not None
        covered += found.low <= -0.1 <= found.high
    assert 0.9 <= covered / worlds <= 0.99


def test_the_log_loss_is_that_of_scikit_learn() -> None:
    true = np.array(["a", "b", "new", "b"], dtype=object)
    probability = np.array([[0.7, 0.3], [0.4, 0.6], [0.5, 0.5], [1.0, 0.0]])
    of_label = np.array([0.7, 0.6, 0.0, 0.0])
    answers = np.array(["a", "b", "a", "a"], dtype=object)
    found = compare_models(
        "recent", true, true, Predictions(answers, probability.max(axis=1), of_label), None
    )
    every = np.column_stack([probability, np.zeros(4)])
    expected = log_loss(true, every, labels=["a", "b", "new"])
    assert found.challenger.scores.log_loss == pytest.approx(expected)


def test_many_classes_are_all_judged_and_so_many_are_kept() -> None:
    labels = [f"class {n:03} {'x' * 300}" for n in range(140) for _ in range(12 + (n < 139))]
    answers = ["class 000" if label.startswith("class 139") else label for label in labels]
    found = judge_challenger([compared("recent", labels, answers, labels)], POLICY)
    assert len(found.sets[0].classes) == MAX_CLASSES
    assert "of the class 'class 139 xxx" in found.reasons[0]
    text = found.model_dump_json()
    assert len(text) < 150_000
    assert Comparison.model_validate_json(text) == found
    assert json.loads(text)["promoted"] is False
    # Further classes are counted, not listed.
    found = judge_challenger([compared("recent", labels, ["a"] * len(labels), labels)], POLICY)
    assert found.reasons[-2] == "worse on recent rows of 135 further classes"


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"maximum_loss": -0.1}, "promotion.maximum_loss"),
        ({"maximum_loss": 1}, "promotion.maximum_loss"),
        ({"maximum_class_loss": "0.1"}, "promotion.maximum_class_loss"),
        ({"minimum_rows": 0}, "promotion.minimum_rows"),
        ({"maximum_los": 0.1}, "promotion.maximum_los"),
    ],
)
def test_what_makes_no_policy_is_refused(section: dict[str, Any], path: str) -> None:
    assert list(faults_after(promotion=section)) == [path]
