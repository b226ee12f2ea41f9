"""Drift events and the messages that tell of them, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from transak_drift.drift.drift_event import DRIFT_OBJECTIVE, DriftEvent, FeatureAnomaly
from transak_drift.trigger.log_entry import anomaly_log_entry

PROJECT = "af-finanzen"
LOCATION = "europe-west6"
MONITOR = "transak-i1-data-drift-monitor"
MAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def drift_event(
    job: str = "job-1",
    deviations: Mapping[str, float] | None = None,
    *,
    end: datetime = MAY_1 + timedelta(days=1),
) -> DriftEvent:
    """Return drift of our monitor over one day; of `description` by 0.6 unless told otherwise."""
    return DriftEvent(
        project=PROJECT,
        location=LOCATION,
        model_monitor_id=MONITOR,
        monitoring_job_id=job,
        objective=DRIFT_OBJECTIVE,
        anomalies=tuple(
            FeatureAnomaly(feature, deviation, 0.3)
            for feature, deviation in (deviations or {"description": 0.6}).items()
        ),
        window_start=end - timedelta(days=1),
        window_end=end,
        log_entry_id=f"entry-{job}",
    )


def message_body(event: DriftEvent) -> bytes:
    """Return the body of the message that the log sink publishes for an event."""
    entry = anomaly_log_entry(event, project_id=PROJECT, receive_time=event.window_end)
    return json.dumps(entry, ensure_ascii=False).encode("utf-8")


_PROJECTS = st.from_regex(r"[a-z0-9][a-z0-9.:-]{0,62}", fullmatch=True)
_LOCATIONS = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)
_IDS = st.from_regex(r"[A-Za-z0-9-]{1,63}", fullmatch=True)
_DISTANCES = st.floats(min_value=0, max_value=1)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
_PRINTABLE_TEXTS = st.text(max_size=256).filter(str.isprintable)
_TIMES = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)
)


@st.composite
def drift_events(draw: st.DrawFn) -> DriftEvent:
    """Draw any event that a log entry can tell of."""
    window_end = draw(_TIMES)
    before = st.timedeltas(timedelta(0), window_end - datetime(1, 1, 1, tzinfo=UTC))
    return DriftEvent(
        project=draw(_PROJECTS),
        location=draw(_LOCATIONS),
        model_monitor_id=draw(_IDS),
        monitoring_job_id=draw(_IDS),
        objective=draw(_TEXTS),
        anomalies=tuple(
            draw(
                st.lists(
                    st.builds(FeatureAnomaly, _TEXTS, _DISTANCES, st.none() | _DISTANCES),
                    min_size=1,
                    max_size=5,
                )
            )
        ),
        window_start=draw(st.none() | before.map(lambda span: window_end - span)),
        window_end=window_end,
        log_entry_id=draw(_PRINTABLE_TEXTS),
    )
