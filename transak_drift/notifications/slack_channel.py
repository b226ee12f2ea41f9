"""Notifications in a channel of Slack, through dagster-slack."""

from __future__ import annotations

import re
from http import HTTPStatus
from http.client import HTTPException

from pydantic import SecretStr

from transak_drift.config.notification_config import SlackNotification
from transak_drift.notifications.notification import Notification, one_line
from transak_drift.notifications.notification_channel import (
    RefusedNotificationError,
    TemporaryNotificationError,
)
from transak_drift.notifications.slack_text import slack_text

TIMEOUT_SECONDS = 8
TOKEN_VARIABLE = "TRANSAK_DRIFT_SLACK_TOKEN"

# Error codes as in the Slack API documentation of chat.postMessage.
_TEMPORARY = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
_CHANNEL_FIXES = {
    "channel_not_found": "name a channel that exists, and invite the bot to it",
    "not_in_channel": "invite the bot to the channel with /invite",
    "is_archived": "name a channel that is not archived",
    "restricted_action": "name a channel that the bot may write to",
    "restricted_action_read_only_channel": "name a channel that the bot may write to",
}
_TOKEN_FIXES = {
    "missing_scope": "give the Slack app the scope chat:write, and install it again",
    "no_permission": "give the Slack app the scope chat:write, and install it again",
}
_TOKEN_FIX = "set it to the bot token (xoxb-...) of a Slack app that is installed"
_TOKEN_FAULTS = frozenset(
    {
        "access_denied",
        "account_inactive",
        "invalid_auth",
        "not_allowed_token_type",
        "not_authed",
        "token_expired",
        "token_revoked",
        *_TOKEN_FIXES,
    }
)


class SlackChannel:
    """A channel of Slack; implements `NotificationChannel`.

    Args:
        config: names the channel.
        token: the bot token, or None where the variable is not set.
        api_url: address of Slack's Web API, with a slash at its end.
    """

    def __init__(self, config: SlackNotification, token: SecretStr | None, api_url: str) -> None:
        self._channel = config.channel
        self._token = token
        self._api_url = api_url

    def send(self, notification: Notification) -> str | None:
        """See `NotificationChannel`; a time-out may hide a message that Slack has taken."""
        if self._token is None:
            raise RefusedNotificationError(f"{TOKEN_VARIABLE} is not set; fix: {_TOKEN_FIX}")
        # Slack's client takes a moment to import; loading definitions does not need it.
        from dagster_slack import SlackResource
        from slack_sdk.errors import SlackApiError, SlackClientError

        client = SlackResource(token=self._token.get_secret_value()).get_client()
        client.base_url = self._api_url
        client.timeout = TIMEOUT_SECONDS
        # A client that repeats by itself may send twice; the next tick repeats.
        client.retry_handlers = []
        try:
            client.chat_postMessage(
                channel=self._channel,
                text=slack_text(notification),
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackApiError as error:
            answer = error.response
            headers = {name.lower(): value for name, value in (answer.headers or {}).items()}
            raise _explained(
                self._channel,
                int(answer.status_code),
                str(answer.get("error", "")),
                headers.get("retry-after"),
            ) from None
        except (SlackClientError, OSError, HTTPException) as error:
            problem = one_line(f"{type(error).__name__}: {error}", 200)
            raise TemporaryNotificationError(f"Slack cannot be reached ({problem})") from None
        return None


def _explained(channel: str, status: int, code: str, retry_after: str | None) -> Exception:
    shown = one_line(code, 100)
    if status == HTTPStatus.TOO_MANY_REQUESTS or code in ("ratelimited", "rate_limited"):
        number = re.fullmatch(r"[0-9]{1,9}", retry_after or "")
        seconds = None if number is None else float(number[0])
        return TemporaryNotificationError("Slack takes no more messages for now", seconds)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _TEMPORARY:
        return TemporaryNotificationError(f"Slack is out of order (HTTP {status}, {shown})")
    if code in _TOKEN_FAULTS:
        fix = _TOKEN_FIXES.get(code, _TOKEN_FIX)
        return RefusedNotificationError(f"Slack refuses {TOKEN_VARIABLE} ({shown}); fix: {fix}")
    fix = _CHANNEL_FIXES.get(code, "see this error of chat.postMessage in Slack's documentation")
    return RefusedNotificationError(
        f"Slack refuses notifications.slack.channel = {channel!r} ({shown}, HTTP {status}); "
        f"fix: {fix}"
    )
