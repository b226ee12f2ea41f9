"""How people are notified of a drift event: the texts, in plain form, for Slack and for e-mail.

An event is reported at most twice: when it is decided (a training is requested, or held and why),
and when it is settled (its training ended, a later baseline superseded it, or a person declined
it). What lies between, such as the release of a held event, is left out: the second notification
has what came of it. Where a person decides, another comes first, which says how, and where labels
are awaited, one that says which.
A drift that is escalated to a person is reported once besides, however many events it has.

Beside events, a window without a report and an interval without a training are reported once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import quote

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.config.resource_names import monitoring_job_name
from transak_drift.config.sections import EmailNotification
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.reports.links import asset_partition_page, console_page, decision_page
from transak_drift.reports.sanitize import sanitize_line
from transak_drift.trigger.approval import Decision, decision_command
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

# By the steps of an event that are reported: how far the event is, what is being done, and the
# name of the reason.
_AWAITING = "awaiting"
_LABELS = "labels"
_TOLD = {
    OutcomeKind.ESCALATED: ("escalated", "a person has to decide", "escalated because"),
    OutcomeKind.AWAITING_APPROVAL: (_AWAITING, "a training awaits your approval", None),
    OutcomeKind.AWAITING_LABELS: (_LABELS, "the training awaits labels", "awaits labels because"),
    OutcomeKind.DECLINED: ("settled", "declined, no training", "declined"),
    OutcomeKind.TRAINING_REQUESTED: ("decided", "a training is requested", None),
    OutcomeKind.HELD: ("decided", "the training is held", "held because"),
    OutcomeKind.SUPERSEDED: ("settled", "superseded, no training of its own", "superseded because"),
}


WHEN_ESCALATED = (
    "look at the drift reports, and whether what is new has labels; then train: transak-drift "
    "approve with the event, or the job retrain by hand. Another drift trains by itself; of this "
    "one you are not told again"
)


WHEN_LABELS_LACK = (
    "label these rows where they come from; it then trains by itself, at once with transak-drift "
    "labels check"
)


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to people, in plain text that has no markup and no line breaks.

    Its identity stays the same however often it is sent; `answers` is that of the notification that
    it follows. The headline says all in a sentence; `result`, what is being done, is what a digest
    counts. Lines have a name and a text, links a title and an http or https address.
    """

    identity: str
    answers: str | None
    headline: str
    result: str
    lines: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    is_reminder: bool = False


def settled_identity(event_key: str) -> str:
    """The identity of the last notification about a drift event."""
    return f"settled/{event_key}"


def awaiting_identity(event_key: str) -> str:
    """The identity of the notification that asks for a decision about a drift event."""
    return f"{_AWAITING}/{event_key}"


def labels_identity(event_key: str) -> str:
    """The identity of the notification that a drift event awaits labels."""
    return f"{_LABELS}/{event_key}"


def reminder_identity(event_key: str, number: int) -> str:
    """The identity of the reminder, the first or a later one, about a drift event."""
    return f"reminder {number}/{event_key}"


def identity_of(record: TriggerRecord) -> str | None:
    """The identity of the notification about a step of an event; None if there is none.

    All events that are escalated for the same reason, as those of one drift are, have one.
    """
    if record.kind == OutcomeKind.ESCALATED:
        return f"escalated/{hashlib.sha256(record.detail.encode()).hexdigest()}"
    return f"{_TOLD[record.kind][0]}/{record.key}" if record.kind in _TOLD else None


@dataclass(frozen=True, slots=True)
class NotificationTexts:
    """Writes the notifications of one model, with links to read on.

    Its assets are given as the parts of their keys, the job by which a person decides by its name
    and that of its operation. Without the address of the Dagster UI nothing there is linked to;
    where the monitoring jobs are on Vertex AI, its console is.
    """

    config: MonitoringConfig
    drift_report: Sequence[str]
    drift_event: Sequence[str]
    dagster_url: str | None
    on_vertex: bool
    decision_job: str = "decide_drift_event"
    decision_operation: str = "decide"

    def decision(
        self, record: TriggerRecord, event: DriftEvent, run_id: str | None = None
    ) -> Notification:
        """Report an event that is decided or superseded; the run is that of its training."""
        stage, result, reason = _TOLD[record.kind]
        lines = [
            (
                f"{item.objective} {item.feature}",
                f"distance {item.distance:.4f}, threshold {item.threshold:g}"
                + ("" if item.by_chance is None else f", by chance {item.by_chance:.4f}"),
            )
            for item in event.features[:MAX_FEATURES]
        ]
        if len(event.features) > MAX_FEATURES:
            lines.append(("more features", str(len(event.features) - MAX_FEATURES)))
        if reason is not None:
            # Each problem of labels is a line, as a line is cut.
            details = record.labels.problems if record.labels else (record.detail,)
            lines += [(reason, detail) for detail in details]
        elif record.by:
            lines.append(("approved by", record.by))
        if record.kind == OutcomeKind.ESCALATED:
            lines.append(("what to do", WHEN_ESCALATED))
        if stage == _LABELS:
            lines.append(("what to do", WHEN_LABELS_LACK))
        window = self.config.windows.ending_at(event.window_end)
        links = self._in_dagster(
            "Drift report", asset_partition_page(self.drift_report, window.key)
        )
        if stage == _AWAITING:
            lines += self._how_to_decide(record.key)
            links += self._launchpads(record.key)
        if self.on_vertex:
            ids = (event.model_monitor_id, event.monitoring_job_id)
            project = self.config.project_id
            job = monitoring_job_name(project, self.config.location, *ids)
            links += [
                (f"{item.feature[:60]} on Vertex AI", console_page(job, project, item.feature))
                for item in event.features[:MAX_FEATURE_PAGES]
                if item.objective == "feature"
            ]
        links += self._in_dagster("Training run", run_id and _run_page(run_id))
        told = self._about_event(record.key, stage, window.when, result, lines, links)
        if record.kind == OutcomeKind.DECLINED or (stage == "decided" and record.by):
            told = replace(told, answers=awaiting_identity(record.key))
        return replace(told, identity=identity_of(record) or told.identity)

    def reminder(
        self, newest: DriftEvent, waiting: int, oldest: TriggerRecord, number: int, days: int
    ) -> Notification:
        """Remind of the events that await approval, of which the oldest waits for so many days."""
        window = self.config.windows.ending_at(newest.window_end)
        result = f"a training awaits your approval for {days} day{'' if days == 1 else 's'}"
        lines = [("drift", newest.summary())]
        if waiting > 1:
            lines.append(("waiting", f"{waiting} events, all answered by deciding the newest"))
        lines += self._how_to_decide(newest.key)
        links = self._launchpads(newest.key)
        found = self._about_event(newest.key, "", window.when, result, lines, links)
        identity = reminder_identity(oldest.key, number)
        answers = awaiting_identity(oldest.key)
        return replace(found, identity=identity, answers=answers, is_reminder=True)

    def _how_to_decide(self, key: str) -> list[tuple[str, str]]:
        return [(f"to {choice}", decision_command(choice, key)) for choice in Decision]

    def _launchpads(self, key: str) -> list[tuple[str, str]]:
        ids = (self.decision_job, self.decision_operation, key)
        return [
            link
            for choice in Decision
            for link in self._in_dagster(
                f"{choice.capitalize()} in Dagster", decision_page(*ids, choice)
            )
        ]

    def training_end(
        self,
        event_key: str,
        *,
        run_id: str,
        version: str | None,
        promoted: bool,
        reason: str,
        report_page: str | None = None,
        further_pages: Mapping[str, str | None] | None = None,
    ) -> Notification:
        """Report how the training of an event ended; without a challenger's version it failed."""
        if version is None:
            result = "training failed, the champion stays"
        else:
            result = "new champion" if promoted else "challenger not promoted, the champion stays"
        when = report_page and self._when(report_page.rpartition("=")[2])
        pages = self._in_dagster("Training run", _run_page(run_id))
        pages += self._in_dagster("Drift report", report_page)
        pages += [(title, page) for title, page in (further_pages or {}).items() if page]
        suffix = "" if version is None else f": version {version}"
        lines = [("reason", reason)]
        return self._about_event(event_key, "settled", when, result, lines, pages, suffix)

    def _when(self, key: str) -> str:
        try:
            return self.config.windows.parse(key).when
        except ValueError:
            # The run is of other windows, which were configured before.
            return f"on {key}"

    def overdue_report(self, window: Window, due: datetime, *, is_started: bool) -> Notification:
        """Report that a window has no drift report in time."""
        job = self.config.monitoring_window
        fix = (
            f"look whether Dagster's daemon runs and the schedule of this {job} is on, and at the "
            "failed runs; transak-drift backfill monitors what was missed"
        )
        if is_started:
            fix = "its run was started and has no result: look at its monitoring job and its events"
        return self._about_monitoring(
            f"overdue/{self.config.model_monitor_id}/{window.key}",
            f"No drift report of {_name(self.config)} for {window}",
            "no report in time",
            [("expected by", f"{due:%Y-%m-%d %H:%M} UTC"), ("what to do", fix)],
            self._in_dagster("Drift report", asset_partition_page(self.drift_report, window.key)),
        )

    def overdue_training(self, last: datetime, intervals: int) -> Notification:
        """Report that an expected interval has passed without a training."""
        days = intervals * (self.config.expected_training_interval_days or 0)
        fix = (
            "look at the drift reports and whether the trigger works (transak-drift status); "
            "materialize trained_model to train now, or raise expected_training_interval_days"
        )
        path = "/".join(quote(part, safe="") for part in self.drift_report)
        return self._about_monitoring(
            f"untrained/{self.config.model_monitor_id}/{last.isoformat()}/{intervals}",
            f"No training of {_name(self.config)} for {days} days",
            "no training in time",
            [("the last was", f"{last:%Y-%m-%d %H:%M} UTC"), ("what to do", fix)],
            self._in_dagster("Drift reports", f"/assets/{path}"),
        )

    def _about_monitoring(
        self,
        identity: str,
        headline: str,
        result: str,
        lines: Sequence[tuple[str, str]],
        links: Sequence[tuple[str, str]],
    ) -> Notification:
        return Notification(
            identity=identity,
            answers=None,
            headline=sanitize_line(headline, 2 * MAX_TEXT_LENGTH),
            result=result,
            lines=_sanitize(lines),
            links=tuple(links),
        )

    def digest(self, notifications: Sequence[Notification]) -> Notification:
        """Join too many notifications: their number, how many said what, and the first of them."""
        results = Counter(item.result for item in notifications)
        shown = notifications[:MAX_DIGEST_LINES]
        lines = [(result, str(count)) for result, count in results.most_common()]
        lines += [("for example", item.headline) for item in shown]
        if len(notifications) > len(shown):
            lines.append(("and more", str(len(notifications) - len(shown))))
        path = "/".join(quote(part, safe="") for part in self.drift_event)
        return Notification(
            identity="digest/" + "/".join(sorted(item.identity for item in notifications)),
            answers=None,
            headline=f"{len(notifications)} messages about drift of {_name(self.config)}",
            result="digest",
            lines=_sanitize(lines),
            links=tuple(self._in_dagster("Drift events", f"/assets/{path}?view=events")),
        )

    def _about_event(
        self,
        key: str,
        stage: str,
        when: str | None,
        result: str,
        lines: Sequence[tuple[str, str]],
        links: Sequence[tuple[str, str]],
        suffix: str = "",
    ) -> Notification:
        headline = " ".join(filter(None, (f"Drift of {_name(self.config)}", when)))
        headline += f": {result}{suffix}"
        return Notification(
            identity=f"{stage}/{key}",
            answers=f"decided/{key}" if stage == "settled" else None,
            headline=sanitize_line(headline, 2 * MAX_TEXT_LENGTH),
            result=result,
            lines=_sanitize([*lines, ("monitoring job", key.partition("/")[2])]),
            links=tuple(links),
        )

    def _in_dagster(self, title: str, path: str | None) -> list[tuple[str, str]]:
        if path is None or self.dagster_url is None:
            return []
        return [(title, f"{self.dagster_url.rstrip('/')}{path}")]


def trial_notification(config: MonitoringConfig, now: datetime) -> Notification:
    """Return a notification that says that it is a test, sent now (UTC)."""
    return Notification(
        identity=f"test/{config.model_monitor_id}/{now.isoformat()}",
        answers=None,
        headline=f"Test of the notifications of {_name(config)}: nothing drifted",
        result="test",
        lines=(("sent", f"{now:%Y-%m-%d %H:%M} UTC by transak-drift notify-test"),),
    )


def _run_page(run_id: str) -> str:
    return f"/runs/{quote(run_id, safe='')}"


def _name(config: MonitoringConfig) -> str:
    return sanitize_line(config.model_name, MAX_TEXT_LENGTH)


def _sanitize(lines: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (sanitize_line(name, MAX_TEXT_LENGTH), sanitize_line(text, MAX_TEXT_LENGTH))
        for name, text in lines
    )


def slack_text(notification: Notification) -> str:
    """Write a notification in Slack's markup.

    It has at most 4,000 characters of mrkdwn, the length that Slack recommends. Names and values
    stand as code, in which Slack makes no links and no mentions. Source: Slack API, "Formatting
    message text" (escape &, < and >) and "chat.postMessage" (length of text).
    """
    text = f"*{_escape(notification.headline).replace('*', '∗')}*"
    foot = ""
    for title, address in notification.links:
        # The address of a long feature name can take all the room; the other links stay.
        shown = _escape(sanitize_line(title, 80).replace("|", "¦"))
        link = f"<{_escape(address).replace('|', '%7C')}|{shown}>"
        longer = f"{foot} · {link}" if foot else f"\n{link}"
        foot = longer if len(longer) <= _MAX_LINKS_LENGTH else foot
    room = MAX_SLACK_LENGTH - len(foot) - len(_CUT)
    for name, value in notification.lines:
        code = f"`{_escape(value.replace('`', 'ˋ'))}`" if value else ""
        line = f"\n• {_escape(name)}: {code}"
        if len(text) + len(line) > room:
            return f"{text}{_CUT}{foot}"
        text += line
    return f"{text}{foot}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
    lines += [f"{sanitize_line(title, 80)}: {address}" for title, address in notification.links]
    message.set_content("\n".join(lines) + "\n")
    return message


def _message_id(identity: str, sender: str) -> str:
    digest = hashlib.sha256(identity.encode()).hexdigest()[:40]
    return f"<{digest}@{sender.rpartition('@')[2]}>"
