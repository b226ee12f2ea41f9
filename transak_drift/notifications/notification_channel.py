"""A channel that people are notified on, and how it fails."""

from __future__ import annotations

from typing import Protocol

from transak_drift.notifications.notification import Notification


class TemporaryNotificationError(Exception):
    """Nothing was sent; the same may be sent later.

    Args:
        message: what happened, for people.
        retry_after: seconds that the service asks to wait, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedNotificationError(Exception):
    """Nothing was sent, and nothing will be until a person mends what the message names."""


class NotificationChannel(Protocol):
    """One channel, ready to send."""

    def send(self, notification: Notification) -> str | None:
        """Send a notification; it returns when the service has taken it.

        Args:
            notification: the notification.

        Returns:
            What the reader of the log should know nonetheless, or None.

        Raises:
            TemporaryNotificationError: an outage, or too many messages.
            RefusedNotificationError: a wrong setting; the message names it and the fix.
        """
