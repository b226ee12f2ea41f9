"""What people are told of a drift event: the texts, in plain form, for Slack and for e-mail.

An event is told at most twice: when it is decided (a training is requested, or held and why), and
when it is settled (its training ended, or a later baseline superseded it). What lies between, such
as the release of a held event, is left out: the second notification says what came of it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from enum import StrEnum
from urllib.parse import quote

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.config.sections import EmailNotification
from transak_drift.drift.drift_event import last_day
from transak_drift.reports.links import asset_partition_page, feature_drift_page, model_monitor_page
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord

MAX_FEATURES = 20
MAX_DIGEST_LINES = 10
MAX_TEXT_LENGTH = 300
MAX_FEATURE_PAGES = 3
MAX_SUBJECT_LENGTH = 200
# RFC 5322, section 2.1.1.
_MAX_LINE_LENGTH = 998
MAX_SLACK_LENGTH = 4_000
_MAX_LINKS_LENGTH = 1_500
_CUT = "\n…"


class Stage(StrEnum):
    """How far a drift event is when it is told of; each is told once."""

    DECIDED = "decided"
    SETTLED = "settled"

    def identity(self, event_key: str) -> str:
        """Return the identity of the notification that tells of an event at this stage."""
        return f"{self}/{event_key}"


@dataclass(frozen=True, slots=True)
class TrainingEnd:
    """How the training of a drift event ended.

    Args:
        key: the drift event, `<monitor id>/<job id>`.
        window_end: end of the window that drifted (exclusive), UTC, or None where unknown.
        run_id: Dagster's run.
        version: version of the challenger, or None where the training failed.
        promoted: whether the challenger is the champion now.
        reason: why it was promoted or not, or why the training failed.
        console_url: page of the training in the Google Cloud console, or None.
    """

    key: str
    window_end: datetime | None
    run_id: str
    version: str | None
    promoted: bool
    reason: str
    console_url: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A page to open, at an http or https address."""

    title: str
    address: str


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to people, in plain text that has no markup and no line breaks.

    Args:
        identity: the same for the same message, however often it is sent.
        answers: identity of the notification that this one follows, or None.
        headline: the whole message in a sentence.
        result: what is being done, as the digest counts it.
        lines: what else there is to know, each with its name.
        links: pages to open.
    """

    identity: str
    answers: str | None
    headline: str
    result: str
    lines: tuple[tuple[str, str], ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class NotificationPages:
    """Where people read on.

    Args:
        config: the monitored model.
        drift_report: parts of the key of its asset `drift_report`.
        drift_event: parts of the key of its asset `drift_event`.
        dagster_url: address of the Dagster UI, or None: then nothing there is linked to.
        vertex: whether the monitoring jobs are on Vertex AI, whose console is linked to.
    """

    config: MonitoringConfig
    drift_report: tuple[str, ...]
    drift_event: tuple[str, ...]
    dagster_url: str | None
    vertex: bool

    def of_drift(self, day: date | None, key: str, features: Sequence[str]) -> list[Link]:
        """Return the drift report of the day, and on Vertex AI the console's pages.

        Without features that drifted, the monitor itself is linked to.
        """
        links = []
        if day is not None:
            path = asset_partition_page(self.drift_report, day.isoformat())
            links += self._in_dagster("Drift report", path)
        if not self.vertex:
            return links
        project, location = self.config.project_id, self.config.location
        monitor, _, job_id = key.partition("/")
        job = monitoring_job_name(project, location, monitor, job_id)
        links += [
            Link(f"{feature[:60]} on Vertex AI", feature_drift_page(job, feature))
            for feature in features[:MAX_FEATURE_PAGES]
        ]
        if not features:
            page = model_monitor_page(project, location, monitor)
            links.append(Link("Monitor on Vertex AI", page))
        return links

    def of_run(self, run_id: str | None) -> list[Link]:
        """Return the page of a training's run in the Dagster UI, where there is one."""
        if run_id is None:
            return []
        return self._in_dagster("Training run", f"/runs/{quote(run_id, safe='')}")

    def of_drift_events(self) -> list[Link]:
        """Return the page of all drift events in the Dagster UI."""
        path = "/".join(quote(part, safe="") for part in self.drift_event)
        return self._in_dagster("Drift events", f"/assets/{path}?view=events")

    def _in_dagster(self, title: str, path: str) -> list[Link]:
        if self.dagster_url is None:
            return []
        return [Link(title, f"{self.dagster_url.rstrip('/')}{path}")]


def sanitize_line(text: str, limit: int = MAX_TEXT_LENGTH) -> str:
    """Bring text of unknown origin into one line of visible characters, cut with an ellipsis.

    Control, format, surrogate and line break characters become spaces.
    """
    visible = "".join(
        " " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c
        for c in text[: 2 * limit]
    )
    joined = " ".join(visible.split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1]}…"


def stage_of(record: TriggerRecord) -> Stage | None:
    """The stage that a step of a drift event is told as, or None of one that is not told."""
    if record.kind in (OutcomeKind.TRAINING_REQUESTED, OutcomeKind.HELD):
        return Stage.DECIDED
    return Stage.SETTLED if record.kind == OutcomeKind.SUPERSEDED else None


def notify_of_decision(
    config: MonitoringConfig,
    record: TriggerRecord,
    pages: NotificationPages,
    run_id: str | None = None,
) -> Notification:
    """Tell of a drift event that is decided, or that a later baseline superseded.

    Args:
        config: the monitored model.
        record: a step with a stage.
        pages: the pages to link to.
        run_id: Dagster's run of the training, or None where there is none yet.

    Raises:
        ValueError: the step is of a kind that is not told.
    """
    stage = stage_of(record)
    if stage is None:
        raise ValueError(f"an event that is {record.kind} is not told")
    features = () if record.event is None else record.event.features
    lines = [
        (
            f"feature {sanitize_line(item.feature)}",
            f"distance {item.distance:.4f}, threshold {item.threshold:g}",
        )
        for item in features[:MAX_FEATURES]
    ]
    if len(features) > MAX_FEATURES:
        lines.append(("more features", str(len(features) - MAX_FEATURES)))
    if record.kind == OutcomeKind.TRAINING_REQUESTED:
        done = "a training is requested"
        lines += [] if features else [("drift", record.detail)]
    elif record.kind == OutcomeKind.HELD:
        done = "the training is held"
        lines.append(("held because", record.detail))
    else:
        done = "superseded, no training of its own"
        lines.append(("superseded because", record.detail))
    lines.append(("monitoring job", record.key.partition("/")[2]))
    day = None if record.event is None else last_day(record.event.window_end)
    return Notification(
        identity=stage.identity(record.key),
        answers=Stage.DECIDED.identity(record.key) if stage == Stage.SETTLED else None,
        headline=f"{_drift(config, day)}: {done}",
        result=done,
        lines=_sanitize(lines),
        links=(
            *pages.of_drift(day, record.key, [item.feature for item in features]),
            *pages.of_run(run_id),
        ),
    )


def notify_of_training(
    config: MonitoringConfig, end: TrainingEnd, pages: NotificationPages
) -> Notification:
    """Tell how the training of a drift event ended; it follows the notification of the event."""
    if end.version is None:
        result = "training failed, the champion stays"
    elif end.promoted:
        result = "new champion"
    else:
        result = "challenger not promoted, the champion stays"
    version = "" if end.version is None else f": version {sanitize_line(end.version)}"
    day = None if end.window_end is None else last_day(end.window_end)
    console = [] if end.console_url is None else [Link("Training on Vertex AI", end.console_url)]
    return Notification(
        identity=Stage.SETTLED.identity(end.key),
        answers=Stage.DECIDED.identity(end.key),
        headline=f"{_drift(config, day)}: {result}{version}",
        result=result,
        lines=_sanitize([("reason", end.reason), ("monitoring job", end.key.partition("/")[2])]),
        links=(*pages.of_run(end.run_id), *console, *pages.of_drift(day, end.key, ())),
    )


def digest(
    config: MonitoringConfig, notifications: Sequence[Notification], pages: NotificationPages
) -> Notification:
    """Join too many notifications: their number, how many said what, and the first by headline."""
    results = Counter(item.result for item in notifications)
    shown = notifications[:MAX_DIGEST_LINES]
    lines = [(result, str(count)) for result, count in results.most_common()]
    lines += [("for example", item.headline) for item in shown]
    if len(notifications) > len(shown):
        lines.append(("and more", str(len(notifications) - len(shown))))
    return Notification(
        identity="digest/" + "/".join(sorted(item.identity for item in notifications)),
        answers=None,
        headline=f"{len(notifications)} messages about drift of {sanitize_line(config.model_name)}",
        result="digest",
        lines=_sanitize(lines),
        links=tuple(pages.of_drift_events()),
    )


def trial_notification(config: MonitoringConfig, now: datetime) -> Notification:
    """Return a notification that says that it is a test, sent now (UTC)."""
    name = sanitize_line(config.model_name)
    return Notification(
        identity=f"test/{config.model_monitor_id}/{now.isoformat()}",
        answers=None,
        headline=f"Test of the notifications of {name}: nothing drifted",
        result="test",
        lines=(("sent", f"{now:%Y-%m-%d %H:%M} UTC by transak-drift notify-test"),),
    )


def _drift(config: MonitoringConfig, day: date | None) -> str:
    return f"Drift of {sanitize_line(config.model_name)}{'' if day is None else f' on {day}'}"


def _sanitize(lines: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((sanitize_line(name), sanitize_line(text)) for name, text in lines)


def slack_text(notification: Notification) -> str:
    """Write a notification in Slack's markup.

    Returns:
        At most 4,000 characters of mrkdwn, the length that Slack recommends. Names and values
        stand as code, in which Slack makes no links and no mentions. Source: Slack API, "Formatting
        message text" (escape &, < and >) and "chat.postMessage" (length of text).
    """
    text = f"*{_escape(notification.headline).replace('*', '∗')}*"
    foot = ""
    for link in notification.links:
        # The address of a long feature name can take all the room; the other links stay.
        longer = f"{foot} · {_link(link)}" if foot else f"\n{_link(link)}"
        foot = longer if len(longer) <= _MAX_LINKS_LENGTH else foot
    room = MAX_SLACK_LENGTH - len(foot) - len(_CUT)
    for name, value in notification.lines:
        line = f"\n• {_escape(name)}: {_code(value)}"
        if len(text) + len(line) > room:
            return f"{text}{_CUT}{foot}"
        text += line
    return f"{text}{foot}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return f"`{_escape(text.replace('`', 'ˋ'))}`" if text else ""


def _link(link: Link) -> str:
    title = sanitize_line(link.title, 80).replace("|", "¦")
    return f"<{_escape(link.address).replace('|', '%7C')}|{_escape(title)}>"


def notification_email(
    notification: Notification, addresses: EmailNotification, now: datetime
) -> EmailMessage:
    """Write a notification as an e-mail in plain text.

    Its Message-ID follows from the notification's identity, so that mail programs know one that
    comes twice, and the second notification of a drift event answers the first. Sources: RFC 5322,
    section 3.6.4 (identification fields); RFC 3834, section 5 (Auto-Submitted).
    """
    subject = sanitize_line(notification.headline, MAX_SUBJECT_LENGTH)
    # Python folds a long subject before its first word, which some mail programs show as empty;
    # only one with encoded words must be folded.
    policy = SMTP.clone(max_line_length=_MAX_LINE_LENGTH) if subject.isascii() else SMTP
    message = EmailMessage(policy=policy)
    message["From"] = Address("transak_drift", addr_spec=addresses.sender)
    message["To"] = [Address(addr_spec=recipient) for recipient in addresses.recipients]
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = _message_id(notification.identity, addresses.sender)
    if notification.answers is not None:
        answered = _message_id(notification.answers, addresses.sender)
        message["In-Reply-To"] = answered
        message["References"] = answered
    message["Auto-Submitted"] = "auto-generated"
    lines = [notification.headline, ""]
    lines += [f"{name}: {text}" for name, text in notification.lines]
    lines += [""] if notification.links else []
    lines += [f"{sanitize_line(link.title, 80)}: {link.address}" for link in notification.links]
    message.set_content("\n".join(lines) + "\n")
    return message


def _message_id(identity: str, sender: str) -> str:
    digest = hashlib.sha256(identity.encode()).hexdigest()[:40]
    return f"<{digest}@{sender.rpartition('@')[2]}>"
