"""A notification in Slack's markup."""

from __future__ import annotations

from transak_drift.notifications.notification import Notification, one_line
from transak_drift.notifications.notification_pages import Link

LONGEST_MESSAGE = 4_000
_LONGEST_LINKS = 1_500
_CUT = "\n…"


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
    foot = ""
    for link in notification.links:
        # The address of a long feature name can take all the room; the other links stay.
        longer = f"{foot} · {_link(link)}" if foot else f"\n{_link(link)}"
        foot = longer if len(longer) <= _LONGEST_LINKS else foot
    room = LONGEST_MESSAGE - len(foot) - len(_CUT)
    text = head
    for name, value in notification.lines:
        line = f"\n• {_escaped(name)}: {_code(value)}"
        if len(text) + len(line) > room:
            return f"{text}{_CUT}{foot}"
        text += line
    return f"{text}{foot}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return f"`{_escaped(text.replace('`', 'ˋ'))}`" if text else ""


def _link(link: Link) -> str:
    title = one_line(link.title, 80).replace("|", "¦")
    return f"<{_escaped(link.address).replace('|', '%7C')}|{_escaped(title)}>"
