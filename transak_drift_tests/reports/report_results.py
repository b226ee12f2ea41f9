"""Monitoring results and their history, for the tests of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np

from transak_drift.config.monitoring_window import WindowCalendar, WindowLength
from transak_drift.config.sections import DataQuality, PromotionPolicy
from transak_drift.drift.data_quality import FeatureQuality, judge_quality
from transak_drift.drift.drift_history import DriftHistory, Promotion, RecordedWindow
from transak_drift.drift.monitoring_result import Contributor, FeatureDrift, MonitoringResult
from transak_drift.reports.pages import model_page
from transak_drift.training.comparison import Predictions, compare_models
from transak_drift.training.model_history import RecordedVersion
from transak_drift.training.promotion import Comparison, SetComparison, SetName, judge_challenger
from transak_drift_tests.windows import day_window

JOB_NAME = (
    "projects/af-finanzen/locations/europe-west6/modelMonitors/transak-i1-drift"
    "/modelMonitoringJobs/20260304-baseline-v1"
)

HOSTILE = '<script>document.title="stolen"</script><img src="https://example.com/x" onerror="x()">'
LONG = "ZAHLUNG-KARTE-" * 20


def result_of(
    *features: FeatureDrift,
    baseline_name: str = "training data of model v1",
    alerts: tuple[str, ...] = (),
    day: date = date(2026, 3, 4),
) -> MonitoringResult:
    return MonitoringResult(
        job_name=JOB_NAME,
        window=day_window(day),
        baseline_name=baseline_name,
        baseline_rows=140_000,
        target_rows=5_000,
        features=features,
        alerts=alerts,
        method="exact, from every row",
    )


def feature_drift(feature: str, distance: float | None, *contributors: Contributor) -> FeatureDrift:
    return FeatureDrift(
        feature=feature,
        metric="l_infinity",
        distance=distance,
        threshold=0.3,
        contributors=contributors,
    )


def description(*values: str) -> FeatureDrift:
    """Return the feature `description` with these values as contributors."""
    contributors = (
        Contributor(value=value, baseline_share=0.02 * number, target_share=0.31 / number)
        for number, value in enumerate(values, 1)
    )
    return feature_drift("description", 0.31, *contributors)


TYPE = feature_drift(
    "type",
    0.04,
    Contributor(value="card payment", baseline_share=0.42, target_share=0.46),
    Contributor(value="transfer", baseline_share=0.3, target_share=0.28),
)
AMOUNT = FeatureDrift(
    feature="amount",
    metric="jensen_shannon_divergence",
    distance=None,
    threshold=0.2,
    note="the day has no present value of amount",
)
DRIFTED = result_of(
    description(
        "TWINT*NEW MERCHANT ZÜRICH", "MIGROS BASEL", HOSTILE, LONG, "", "価格$x$ 東京店 10%"
    ),
    TYPE,
    AMOUNT,
    alerts=(f"above the threshold: {HOSTILE}",),
)
QUIET = result_of(TYPE)
UNSOUND = DRIFTED.model_copy(
    update={
        "quality": (
            FeatureQuality(
                feature=HOSTILE,
                missing_share=0.3,
                expected_missing_share=0.02,
                unseen_share=0.41,
                expected_unseen_share=0.398,
                unseen_values=(LONG, HOSTILE),
            ),
            FeatureQuality(
                feature=LONG,
                missing_share=0.0,
                expected_missing_share=0.0,
                type_change="stored as text in the baseline, as number in the window",
                note="unseen values are not known: " + LONG,
            ),
        ),
        "usual_rows": 50_000.0,
    }
)
UNSOUND_VERDICTS = judge_quality(DataQuality(), UNSOUND.quality, 5_000, 140_000, 50_000.0)
FIRST = date(2026, 3, 1)


def history_of(
    distances: Mapping[str, list[float | None]],
    page: str | None = None,
    length: WindowLength = "day",
) -> DriftHistory:
    """Return one window after the other, with a threshold of 0.3 and one promotion."""
    recorded, calendar = [], WindowCalendar(length)
    window = calendar.of_day(FIRST)
    for number in range(max(len(values) for values in distances.values())):
        features = (feature_drift(name, values[number]) for name, values in distances.items())
        result = result_of(*features).model_copy(update={"window": window})
        recorded.append(RecordedWindow(result, page))
        window = calendar.after(window)
    return DriftHistory(recorded, [Promotion(recorded[-1].window.last_day, "v2")], read_until=7)


FEATURES = ("description", HOSTILE)
HISTORY = history_of(
    {
        "description": [0.05, 0.04, 0.4, 0.5, None, 0.45, 0.06, 0.05] * 5 + [0.52, 0.6],
        HOSTILE: [None] * 20 + [0.1] * 22,
    },
    page="/state/monitoring_jobs/20260304-baseline-v1.html",
)


def set_of(
    name: SetName, classes: int, rows: int, errors: tuple[float, float | None]
) -> SetComparison:
    """Return a comparison on random rows, with shares of errors of challenger and champion."""
    random = np.random.default_rng(classes)
    names = np.array(
        [HOSTILE, LONG, "東京店", *(f"class {n}" for n in range(classes))], dtype=object
    )
    weights = 1 / np.arange(1, classes + 1)
    true = random.choice(classes, rows, p=weights / weights.sum())
    models = []
    for share in errors:
        wrong = random.random(rows) < (share or 0.0)
        answers = np.where(wrong, random.integers(0, classes, rows), true)
        probability = np.clip(random.normal(0.8, 0.15, rows), 0.05, 1.0)
        models.append(Predictions(names[answers], probability, probability))
    texts = np.array([HOSTILE, LONG, "MIGROS BASEL"] * rows, dtype=object)[:rows]
    champion = None if errors[1] is None else models[1]
    return compare_models(name, names[true], texts, models[0], champion)


def page_of(comparison: Comparison | None, champion: str | None = "2", version: str = "3") -> str:
    return model_page(
        "transak-i1",
        version,
        comparison,
        {"trained on": "2026-03-04 to 2026-03-04, 5,000 rows", "for": f"monitor/{HOSTILE}"},
        promoted=comparison is None or comparison.promoted,
        reasons=comparison.reasons if comparison else ["first model"],
        champion=champion,
    )


def judged(*sets: SetComparison) -> Comparison:
    return judge_challenger(sets, PromotionPolicy())


FORGETFUL = judged(
    set_of("recent", 12, 900, (0.03, 0.4)), set_of("historical", 12, 4_000, (0.2, 0.04))
)
MANY_CLASSES = judged(
    set_of("recent", 70, 3_000, (0.1, 0.12)), set_of("historical", 70, 9_000, (0.1, 0.1))
)
FIRST_MODEL = judged(set_of("recent", 6, 300, (0.1, None)))
NO_RECENT = judged(set_of("recent", 4, 0, (0.1, 0.1)), set_of("historical", 4, 80, (0.1, 0.1)))
VERSIONS = [
    RecordedVersion(
        version=str(number),
        recorded="2026-03-05 04:00",
        trained_on="2026-03-04 to 2026-03-04",
        trained_for=HOSTILE,
        outcome="not promoted" if number == 3 else "promoted",
        reason="; ".join(FORGETFUL.reasons),
        drift_before=f"2026-03-04: type 0.6000 (drift), {LONG} 0.0100",
        drift_after="2026-03-05: type 0.0100",
        page=None if number == 1 else f"/state/registry/{number}.html",
    )
    for number in (4, 3, 2, 1)
]
