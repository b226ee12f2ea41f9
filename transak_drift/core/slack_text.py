"""A notification in Slack's markup."""

from __future__ import annotations

from transak_drift.core.notification import Notification, one_line
from transak_drift.core.notification_pages import Link

LONGEST_MESSAGE = 4_000


def slack_text(notification: Notification) -> str:
    """Write a notification in Slack's markup.

    Args:
        notification: the notification.

    Returns:
        At most 4,000 characters of mrkdwn, the length that Slack recommends. Names and values
        stand as code, in which Slack makes no links and no mentions. Source: Slack API, "Formatting
        message text" (escape &, < and >) and "chat.postMessage" (length of text).
    """
    head = f"*{_escaped(notification.headline).replace('*', '∗')}*"
    foot = " · ".join(_link(link) for link in notification.links)
    text = head
    for name, value in notification.lines:
        line = f"\n• {_escaped(name)}: {_code(value)}"
        if len(text) + len(line) + len(foot) + 2 > LONGEST_MESSAGE:
            text += "\n…"
            break
        text += line
    return f"{text}\n{foot}" if foot else text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return f"`{_escaped(text.replace('`', 'ˋ'))}`" if text else ""


def _link(link: Link) -> str:
    title = one_line(link.title, 80).replace("|", "¦")
    return f"<{_escaped(link.address).replace('|', '%7C')}|{_escaped(title)}>"
