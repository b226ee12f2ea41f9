"""What a notification says of a drift event, as plain text; how it is written is each channel's.

An event is told at most twice: when it is decided (a training is requested, or held and why), and
when it is settled (its training ended, or a later baseline superseded it). What lies between, such
as the release of a held event, is left out: the second notification tells what came of it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.drift_event import DriftedFeature, drift_event_key, last_day
from transak_drift.notifications.notification_pages import Link, NotificationPages
from transak_drift.trigger.inbox import OutcomeKind

MOST_FEATURES = 20
MOST_DIGEST_LINES = 10
LONGEST_TEXT = 300


class Stage(StrEnum):
    """How far a drift event is when it is told of; each is told once."""

    DECIDED = "decided"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """What is recorded of a drift event: an observation of the asset `drift_event`.

    Args:
        monitoring_job_id: last part of the ModelMonitoringJob's resource name.
        kind: what became of the event.
        detail: why, in a sentence.
        window_end: end of the window that drifted (exclusive), UTC, or None where unknown.
        anomalies: the features that drifted; none where many events are recorded as one list.
    """

    monitoring_job_id: str
    kind: OutcomeKind
    detail: str
    window_end: datetime | None
    anomalies: tuple[DriftedFeature, ...] = ()

    @property
    def stage(self) -> Stage | None:
        """The stage that the outcome is told as, or None of one that is not told."""
        if self.kind in (OutcomeKind.TRAINING_REQUESTED, OutcomeKind.HELD):
            return Stage.DECIDED
        return Stage.SETTLED if self.kind == OutcomeKind.SUPERSEDED else None


@dataclass(frozen=True, slots=True)
class TrainingEnd:
    """How the training of a drift event ended.

    Args:
        monitoring_job_id: last part of the ModelMonitoringJob's resource name.
        window_end: end of the window that drifted (exclusive), UTC, or None where unknown.
        run_id: Dagster's run.
        version: version of the challenger, or None where the training failed.
        promoted: whether the challenger is the champion now.
        reason: why it was promoted or not, or why the training failed.
        console_url: page of the training in the Google Cloud console, or None.
    """

    monitoring_job_id: str
    window_end: datetime | None
    run_id: str
    version: str | None
    promoted: bool
    reason: str
    console_url: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to people, in plain text that has no markup and no line breaks.

    Args:
        identity: the same for the same message, however often it is sent.
        answers: identity of the notification that this one follows, or None.
        headline: the whole message in a sentence.
        result: what is being done, as the digest counts it.
        lines: what else there is to know, each with its name: `feature description`, `0.61 > 0.3`.
        links: pages to open.
    """

    identity: str
    answers: str | None
    headline: str
    result: str
    lines: tuple[tuple[str, str], ...] = ()
    links: tuple[Link, ...] = ()


def one_line(text: str, limit: int = LONGEST_TEXT) -> str:
    """Bring text of unknown origin into one line of visible characters.

    Args:
        text: any text.
        limit: greatest number of characters.

    Returns:
        The text, its control, format, surrogate and line break characters as spaces, cut with an
        ellipsis where it is longer.
    """
    cut = text[: 2 * limit]
    visible = "".join(
        " " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in cut
    )
    joined = " ".join(visible.split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1]}…"


def notify_of_decision(
    config: MonitoringConfig,
    outcome: RecordedOutcome,
    pages: NotificationPages,
    run_id: str | None = None,
) -> Notification:
    """Tell of a drift event that is decided, or that a later baseline superseded.

    Args:
        config: the monitored model.
        outcome: a recorded outcome with a stage.
        pages: the pages to link to.
        run_id: Dagster's run of the training, or None where there is none yet.

    Returns:
        The notification.

    Raises:
        ValueError: the outcome is of a kind that is not told.
    """
    if outcome.stage is None:
        raise ValueError(f"an event that is {outcome.kind} is not told")
    key = drift_event_key(config.model_monitor_id, outcome.monitoring_job_id)
    drift = f"Drift of {one_line(config.model_name)}{_on_day(outcome.window_end)}"
    lines = [_feature_line(anomaly) for anomaly in outcome.anomalies[:MOST_FEATURES]]
    more = len(outcome.anomalies) - MOST_FEATURES
    if more > 0:
        lines.append(("more features", str(more)))
    if outcome.kind == OutcomeKind.TRAINING_REQUESTED:
        done = "a training is requested"
        if not outcome.anomalies:
            lines.append(("drift", outcome.detail))
    elif outcome.kind == OutcomeKind.HELD:
        done = "the training is held"
        lines.append(("held because", outcome.detail))
    else:
        done = "superseded, no training of its own"
        lines.append(("superseded because", outcome.detail))
    lines.append(("monitoring job", outcome.monitoring_job_id))
    features = [anomaly.feature for anomaly in outcome.anomalies]
    settled = outcome.stage == Stage.SETTLED
    return Notification(
        identity=_identity(key, outcome.stage),
        answers=_identity(key, Stage.DECIDED) if settled else None,
        headline=f"{drift}: {done}",
        result=done,
        lines=_plain(lines),
        links=(
            *pages.of_drift(_day(outcome.window_end), outcome.monitoring_job_id, features),
            *pages.of_run(run_id),
        ),
    )


def notify_of_training(
    config: MonitoringConfig, end: TrainingEnd, pages: NotificationPages
) -> Notification:
    """Tell how the training of a drift event ended.

    Args:
        config: the monitored model.
        end: how it ended.
        pages: the pages to link to.

    Returns:
        The notification, which follows the one of the event.
    """
    key = drift_event_key(config.model_monitor_id, end.monitoring_job_id)
    version = "" if end.version is None else f": version {one_line(end.version)}"
    if end.version is None:
        result = "training failed, the champion stays"
    elif end.promoted:
        result = "new champion"
    else:
        result = "challenger not promoted, the champion stays"
    console = () if end.console_url is None else (Link("Training on Vertex AI", end.console_url),)
    return Notification(
        identity=_identity(key, Stage.SETTLED),
        answers=_identity(key, Stage.DECIDED),
        headline=(
            f"Drift of {one_line(config.model_name)}{_on_day(end.window_end)}: {result}{version}"
        ),
        result=result,
        lines=_plain([("reason", end.reason), ("monitoring job", end.monitoring_job_id)]),
        links=(
            *pages.of_run(end.run_id),
            *console,
            *pages.of_drift(_day(end.window_end), end.monitoring_job_id, ()),
        ),
    )


def digest(
    config: MonitoringConfig, notifications: Sequence[Notification], pages: NotificationPages
) -> Notification:
    """Join what would be too many notifications.

    Args:
        config: the monitored model.
        notifications: at least one, in order.
        pages: the pages to link to.

    Returns:
        One notification with their number, how many said what, and the first ten by headline.
    """
    results = Counter(item.result for item in notifications)
    shown = notifications[:MOST_DIGEST_LINES]
    lines = [(result, str(count)) for result, count in results.most_common()]
    lines += [("for example", item.headline) for item in shown]
    if len(notifications) > len(shown):
        lines.append(("and more", str(len(notifications) - len(shown))))
    return Notification(
        identity="digest/" + "/".join(sorted(item.identity for item in notifications)),
        answers=None,
        headline=f"{len(notifications)} messages about drift of {one_line(config.model_name)}",
        result="digest",
        lines=_plain(lines),
        links=pages.of_drift_events(),
    )


def trial_notification(config: MonitoringConfig, now: datetime) -> Notification:
    """Return a notification that says that it is a test.

    Args:
        config: the monitored model.
        now: the present time, UTC.
    """
    return Notification(
        identity=f"test/{config.model_monitor_id}/{now.isoformat()}",
        answers=None,
        headline=f"Test of the notifications of {one_line(config.model_name)}: nothing drifted",
        result="test",
        lines=_plain([("sent", f"{now:%Y-%m-%d %H:%M} UTC by transak-drift notify-test")]),
    )


def _identity(event_key: str, stage: Stage) -> str:
    return f"{stage}/{event_key}"


def _day(window_end: datetime | None) -> date | None:
    return None if window_end is None else last_day(window_end)


def _on_day(window_end: datetime | None) -> str:
    day = _day(window_end)
    return "" if day is None else f" on {day.isoformat()}"


def _feature_line(anomaly: DriftedFeature) -> tuple[str, str]:
    return (
        f"feature {one_line(anomaly.feature)}",
        f"distance {anomaly.distance:.4f}, threshold {anomaly.threshold:g}",
    )


def _plain(lines: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((one_line(name), one_line(text)) for name, text in lines)
