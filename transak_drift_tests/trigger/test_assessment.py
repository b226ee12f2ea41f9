"""Monitoring job to verdict: the platform's answer and our thresholds decide, not the message."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from transak_drift.drift.monitoring_job import JobState
from transak_drift.platform import PlatformError, TemporaryPlatformError
from transak_drift.trigger.assessment import Assessor, Verdict, window_fault
from transak_drift.trigger.message import RejectionReason
from transak_drift_tests.config.configurations import REPOSITORY, configuration
from transak_drift_tests.trigger.drift_messages import (
    MAY_1,
    MONITOR,
    drift_event,
    message_body,
    monitoring_result,
)
from transak_drift_tests.trigger.trigger_world import Platform
from transak_drift_tests.windows import day_window

NOW = MAY_1 + timedelta(days=30)
CONFIG = configuration()
SECOND = configuration(model_name="cards", monitoring_job_display_name="cards")
FIELD = REPOSITORY.parent / "shared" / "cases" / "field"


@pytest.fixture
def platform() -> Platform:
    platform = Platform(MONITOR)
    platform.put("job-1", {"description": 0.6, "type": 0.1})
    return platform


def test_drift_is_what_the_platform_says_and_our_thresholds_decide(platform: Platform) -> None:
    lie = message_body(drift_event("job-1", {"type": 0.99, "description": 0.0}))
    answer = Assessor([(CONFIG, platform)], NOW).assess(lie)
    assert (answer.verdict, answer.reason) == (Verdict.DRIFT, "description 0.6000 > 0.3")
    assert answer.event == drift_event("job-1")
    lenient = configuration(drift_thresholds={"description": 0.7, "type": 0.3})
    answer = Assessor([(lenient, platform)], NOW).assess(lie)
    assert answer.verdict == Verdict.NOT_DRIFT
    assert [item.threshold for item in answer.features] == [0.7, 0.3]
    strict = configuration(drift_thresholds={"type": 0.05})
    answer = Assessor([(strict, platform)], NOW).assess(lie)
    assert answer.reason == "type 0.1000 > 0.05"


def test_a_distance_at_its_threshold_is_no_drift_and_one_without_threshold_is_left_out(
    platform: Platform,
) -> None:
    platform.put("job-1", {"description": 0.3, "amount": 0.9})
    answer = Assessor([(CONFIG, platform)], NOW).assess_job(CONFIG, MONITOR, "job-1")
    assert answer.verdict == Verdict.NOT_DRIFT
    assert [item.feature for item in answer.features] == ["description"]


@pytest.mark.parametrize(
    ("rows", "policy", "told"),
    [
        (19, {}, "too few rows: 19, minimum_target_rows asks for 20"),
        (
            19,
            {"minimum_target_rows": 19},
            "by chance: 5 % of unchanged windows of this size exceed",
        ),
        (19, {"minimum_target_rows": 1, "beyond_chance": False}, None),
        (None, {}, "by chance: 5 % of unchanged windows of this size exceed 0.6500"),
    ],
)
def test_a_distance_that_chance_or_too_few_rows_explain_is_no_drift_and_says_so(
    platform: Platform, rows: int | None, policy: dict[str, object], told: str | None
) -> None:
    job = platform.jobs["job-1"]
    assert job.result is not None
    features = [item.model_copy(update={"by_chance": 0.65}) for item in job.result.features]
    result = job.result.model_copy(update={"target_rows": rows, "features": tuple(features)})
    platform.jobs["job-1"] = replace(job, result=result)
    config = configuration(retrain_policy=policy)
    answer = Assessor([(config, platform)], NOW).assess(message_body(drift_event()))
    assert (answer.verdict == Verdict.DRIFT) == (told is None) == (answer.event is not None)
    assert told is None or f"description 0.6000 > 0.3 ({told}" in answer.reason
    assert {item.by_chance for item in answer.features} == {0.65}


def test_a_distance_that_rounding_puts_above_one_is_one(platform: Platform) -> None:
    platform.put("job-1", {"description": 1.0000000000000002, "type": None})
    answer = Assessor([(CONFIG, platform)], NOW).assess_job(CONFIG, MONITOR, "job-1")
    assert answer.event is not None
    assert [item.distance for item in answer.event.features] == [1.0]


@pytest.mark.parametrize(
    ("state", "verdict", "rejection"),
    [
        (JobState.UNFINISHED, Verdict.WAITING, None),
        (JobState.FAILED, Verdict.REJECTED, RejectionReason.JOB_FAILED),
        (JobState.MISSING, Verdict.REJECTED, RejectionReason.JOB_MISSING),
    ],
)
def test_a_job_without_a_result(
    platform: Platform, state: JobState, verdict: Verdict, rejection: RejectionReason | None
) -> None:
    platform.put("job-1", {}, state=state)
    answer = Assessor([(CONFIG, platform)], NOW).assess(message_body(drift_event()))
    assert (answer.verdict, answer.rejection) == (verdict, rejection)
    assert answer.config is CONFIG


@pytest.mark.parametrize(
    ("body", "rejection"),
    [
        (message_body(drift_event(project="af-versicherung")), RejectionReason.OTHER_PROJECT),
        (message_body(drift_event(monitor="churn")), RejectionReason.OTHER_MONITOR),
        (
            message_body(drift_event()).replace(b"europe-west6", b"europe-west1"),
            RejectionReason.OTHER_LOCATION,
        ),
        (b"{}", RejectionReason.NO_JOB),
        (b"{", RejectionReason.NOT_JSON),
    ],
)
def test_what_is_not_ours_is_rejected_with_its_reason(
    platform: Platform, body: bytes, rejection: RejectionReason
) -> None:
    answer = Assessor([(CONFIG, platform)], NOW).assess(body)
    assert (answer.verdict, answer.rejection) == (Verdict.REJECTED, rejection)
    assert answer.event is None


def test_the_one_of_several_jobs_that_is_ours_counts(platform: Platform) -> None:
    ours, foreign = drift_event("job-1"), drift_event("job-9", project="af-versicherung")
    names = [json.loads(message_body(event))["jsonPayload"] for event in (foreign, ours)]
    body = json.dumps([item["modelMonitoringJob"] for item in names]).encode()
    assert Assessor([(CONFIG, platform)], NOW).assess(body).event == drift_event("job-1")
    both = body.replace(b"af-versicherung", b"af-finanzen")
    answer = Assessor([(CONFIG, platform)], NOW).assess(both)
    assert answer.rejection == RejectionReason.SEVERAL_JOBS
    assert "job-1" in answer.reason
    assert "job-9" in answer.reason


def test_the_monitor_decides_which_of_several_models_it_is_about(platform: Platform) -> None:
    cards = Platform("cards")
    cards.put("job-1", {"type": 0.9})
    models = [(CONFIG, platform), (SECOND, cards)]
    answer = Assessor(models, NOW).assess(message_body(drift_event(monitor="cards")))
    assert answer.config is SECOND
    platform.is_out = True
    assert Assessor(models, NOW).assess(message_body(drift_event(monitor="cards"))).event
    answer = Assessor(models, NOW).assess(message_body(drift_event()))
    assert answer.verdict == Verdict.UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (TemporaryPlatformError("no answer in time"), 1),
        (PlatformError("permission denied: grant roles/aiplatform.viewer"), 2),
        (ValueError("a fault of one job"), 2),
    ],
)
def test_a_job_that_cannot_be_read_is_unavailable_and_says_why(
    platform: Platform, error: Exception, asked: int
) -> None:
    platform.job_error = error
    assessor = Assessor([(CONFIG, platform)], NOW)
    for job in ("job-1", "job-2", "job-1"):
        answer = assessor.assess(message_body(drift_event(job)))
        assert answer.verdict == Verdict.UNAVAILABLE
        assert str(error) in answer.reason
    assert platform.asked == asked, "each job once, and none after an outage"


def test_without_time_a_job_of_ours_waits(platform: Platform) -> None:
    assessor = Assessor([(CONFIG, platform)], NOW, may_ask=lambda: False)
    assert assessor.assess(message_body(drift_event())).verdict == Verdict.WAITING


@pytest.mark.parametrize(
    ("end", "is_possible"),
    [
        (NOW + timedelta(days=1), True),
        (NOW + timedelta(days=1, seconds=1), False),
        (MAY_1.replace(month=1, day=1), False),
        (MAY_1.replace(month=1, day=1, second=1), True),
        (MAY_1.replace(year=9999), False),
        (MAY_1.replace(year=1), False),
    ],
)
def test_a_window_lies_between_the_first_monitored_day_and_now_plus_a_day(
    platform: Platform, end: datetime, is_possible: bool
) -> None:
    platform.put("job-1", {"type": 0.9}, end)
    answer = Assessor([(CONFIG, platform)], NOW).assess_job(CONFIG, MONITOR, "job-1")
    assert (answer.event is not None) == is_possible
    assert answer.rejection == (None if is_possible else RejectionReason.WINDOW_OUT_OF_RANGE)
    endless = monitoring_result().model_copy(
        update={"window": day_window(date.max), "window_end": None}
    )
    assert "after 9999" in (window_fault(endless, CONFIG, NOW) or "")


@pytest.mark.skipif(not FIELD.is_dir(), reason="shared/cases/field is not there")
def test_the_recorded_message_of_a_channel_is_drift_of_our_model() -> None:
    # Our project by its number too, and a monitor to which Google gave an id.
    platform = Platform("4412345678901234567", "af-finanzen", "123456789012")
    platform.put("2203317554485133312", {"type": 0.48768})

    def assess(file: str) -> Verdict:
        body = Path(FIELD / file).read_bytes()
        return Assessor([(CONFIG, platform)], NOW).assess(body).verdict

    assert assess("notification_channel_message.json") == Verdict.DRIFT
    assert assess("alert.json") == Verdict.DRIFT
    assert assess("anomalies.json") == Verdict.REJECTED
