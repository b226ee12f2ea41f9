"""A notification as an e-mail."""

from __future__ import annotations

import hashlib
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from transak_drift.config.notification_config import EmailNotification
from transak_drift.notifications.notification import Notification, one_line

LONGEST_SUBJECT = 200
# RFC 5322, section 2.1.1.
_LONGEST_LINE = 998


def notification_email(
    notification: Notification, addresses: EmailNotification, now: datetime
) -> EmailMessage:
    """Write a notification as an e-mail.

    Args:
        notification: the notification.
        addresses: sender and recipients.
        now: the present time, UTC.

    Returns:
        A message in plain text. Its Message-ID follows from the notification's identity, so that
        mail programs know one that comes twice, and the second notification of a drift event
        answers the first. Sources: RFC 5322, section 3.6.4 (identification fields); RFC 3834,
        section 5 (Auto-Submitted).
    """
    subject = one_line(notification.headline, LONGEST_SUBJECT)
    # Python folds a long subject before its first word, which some mail programs show as empty;
    # only one with encoded words must be folded.
    policy = SMTP.clone(max_line_length=_LONGEST_LINE) if subject.isascii() else SMTP
    message = EmailMessage(policy=policy)
    message["From"] = Address("transak_drift", addr_spec=addresses.sender)
    message["To"] = [Address(addr_spec=recipient) for recipient in addresses.recipients]
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id(notification.identity, addresses.sender)
    if notification.answers is not None:
        answered = message_id(notification.answers, addresses.sender)
        message["In-Reply-To"] = answered
        message["References"] = answered
    message["Auto-Submitted"] = "auto-generated"
    lines = [notification.headline, ""]
    lines += [f"{name}: {text}" for name, text in notification.lines]
    lines += [""] if notification.links else []
    lines += [f"{one_line(link.title, 80)}: {link.address}" for link in notification.links]
    message.set_content("\n".join(lines) + "\n")
    return message


def message_id(identity: str, sender: str) -> str:
    """Return the Message-ID of a notification.

    Args:
        identity: the notification's identity.
        sender: the address it comes from, whose domain it is unique in.
    """
    digest = hashlib.sha256(identity.encode()).hexdigest()[:40]
    return f"<{digest}@{sender.rpartition('@')[2]}>"
