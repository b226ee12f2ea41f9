"""The channels that people are notified on: Slack through dagster-slack, e-mail over SMTP.

Dagster's own e-mail functions are private, and they put header fields together as text; here the
standard library's `email` and `smtplib` do the work.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from http.client import HTTPException

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.sections import EmailNotification
from transak_drift.notifications.texts import Notification, notification_email, slack_text
from transak_drift.reports.sanitize import sanitize_line
from transak_drift.settings import Settings

TIMEOUT_SECONDS = 8

# Error codes as in the Slack API documentation of chat.postMessage.
_TEMPORARY = ("fatal_error", "internal_error", "request_timeout", "service_unavailable")
_CHANNEL_FIXES = {
    "channel_not_found": "name a channel that exists, and invite the bot to it",
    "not_in_channel": "invite the bot to the channel with /invite",
    "is_archived": "name a channel that is not archived",
    "restricted_action": "name a channel that the bot may write to",
}
_TOKEN_ERROR = re.compile(
    "access_denied|account_inactive|invalid_auth|missing_scope|no_permission|not_allowed_token_type"
    "|not_authed|token_expired|token_revoked"
)
_TOKEN = "TRANSAK_DRIFT_SLACK_TOKEN"
_TOKEN_FIX = "set it to the bot token (xoxb-...) of a Slack app that is installed"
_SCOPE_FIX = "give the Slack app the scope chat:write, and install it again"

_DEFAULT_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_FIRST_PERMANENT_REPLY = 500
_HOST = "TRANSAK_DRIFT_SMTP_HOST"
_LOGIN = "TRANSAK_DRIFT_SMTP_USERNAME and TRANSAK_DRIFT_SMTP_PASSWORD"
_SECURITY = "TRANSAK_DRIFT_SMTP_SECURITY"


class TemporaryNotificationError(Exception):
    """Nothing was sent; the same may be sent later, after the seconds that the service asks for."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedNotificationError(Exception):
    """Nothing was sent, and nothing will be until a person fixes what the message names."""


Send = Callable[[Notification], str | None]
"""Sends a notification; on return the service has taken it.

Returns what the reader of the log should know nonetheless. Raises `TemporaryNotificationError` in
an outage or where there are too many messages, and `RefusedNotificationError` for a wrong setting.
A time-out may hide that the service has taken the notification.
"""


def configured_channels(config: MonitoringConfig, settings: Settings) -> dict[str, Send]:
    """Return by name each channel that the model configures; nothing is connected yet."""
    channels: dict[str, Send] = {}
    if config.notifications and config.notifications.slack:
        channel = config.notifications.slack.channel
        channels["slack"] = partial(send_to_slack, channel, settings)
    if config.notifications and config.notifications.email:
        channels["email"] = partial(send_email, config.notifications.email, settings)
    return channels


def send_to_slack(channel: str, settings: Settings, notification: Notification) -> None:
    """Write to a channel of Slack, with the bot token; see `Send`."""
    if settings.slack_token is None:
        raise RefusedNotificationError(f"{_TOKEN} is not set; fix: {_TOKEN_FIX}")
    # Slack's client takes a moment to import; loading definitions does not need it.
    from dagster_slack import SlackResource
    from slack_sdk.errors import SlackApiError, SlackClientError

    client = SlackResource(token=settings.slack_token.get_secret_value()).get_client()
    client.base_url = settings.slack_api_url
    client.timeout = TIMEOUT_SECONDS
    # A client that repeats by itself may send twice; the next tick repeats.
    client.retry_handlers = []
    try:
        client.chat_postMessage(
            channel=channel, text=slack_text(notification), unfurl_links=False, unfurl_media=False
        )
    except SlackApiError as error:
        answer = error.response
        headers = {name.lower(): value for name, value in (answer.headers or {}).items()}
        status, code = int(answer.status_code), str(answer.get("error", ""))
        raise _slack_error(channel, status, code, headers.get("retry-after", "")) from None
    except (SlackClientError, OSError, HTTPException) as error:
        raise TemporaryNotificationError(f"Slack cannot be reached ({_name(error)})") from None


def _slack_error(channel: str, status: int, code: str, retry_after: str) -> Exception:
    shown = sanitize_line(code, 100)
    if status == HTTPStatus.TOO_MANY_REQUESTS or code in ("ratelimited", "rate_limited"):
        seconds = float(retry_after) if re.fullmatch(r"[0-9]{1,9}", retry_after) else None
        return TemporaryNotificationError("Slack takes no more messages for now", seconds)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _TEMPORARY:
        return TemporaryNotificationError(f"Slack is out of order (HTTP {status}, {shown})")
    if _TOKEN_ERROR.fullmatch(code):
        fix = _SCOPE_FIX if code in ("missing_scope", "no_permission") else _TOKEN_FIX
        return RefusedNotificationError(f"Slack refuses {_TOKEN} ({shown}); fix: {fix}")
    fix = _CHANNEL_FIXES.get(code, "see this error of chat.postMessage in Slack's documentation")
    return RefusedNotificationError(
        f"Slack refuses notifications.slack.channel = {channel!r} ({shown}, HTTP {status}); "
        f"fix: {fix}"
    )


def send_email(
    addresses: EmailNotification, settings: Settings, notification: Notification
) -> str | None:
    """Send an e-mail to the configured recipients; see `Send`.

    It counts as sent when the server takes it for any recipient; those it refuses are returned.
    """
    message = notification_email(notification, addresses, datetime.now(UTC))
    password = settings.smtp_password
    try:
        with closing(_connect(settings)) as client:
            if settings.smtp_security == "starttls":
                client.starttls(context=ssl.create_default_context())
            if settings.smtp_username is not None and password is not None:
                client.login(settings.smtp_username, password.get_secret_value())
            refused = client.send_message(message, addresses.sender, list(addresses.recipients))
            # The e-mail is taken by now: a farewell that fails must not send it again.
            with suppress(smtplib.SMTPException, OSError):
                client.quit()
    except (smtplib.SMTPException, OSError) as error:
        raise _mail_error(error, addresses) from None
    return f"refused for {_refusals(refused)}" if refused else None


def _connect(settings: Settings) -> smtplib.SMTP:
    host, security, username = settings.smtp_host, settings.smtp_security, settings.smtp_username
    if host is None:
        raise RefusedNotificationError(f"{_HOST} is not set; fix: name the mail server")
    if (username is None) != (settings.smtp_password is None):
        raise RefusedNotificationError(f"only one of {_LOGIN} is set; fix: set both or none")
    if security == "none" and username and host not in _LOOPBACK:
        raise RefusedNotificationError(
            f"{_SECURITY} = none would send the password unencrypted; fix: set starttls or tls"
        )
    port = settings.smtp_port or _DEFAULT_PORTS[security]
    if security == "tls":
        # Reads SSL_CERT_FILE, for a server whose certificate is the organisation's own.
        trust = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=trust)
    return smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)


def _mail_error(error: smtplib.SMTPException | OSError, addresses: EmailNotification) -> Exception:
    """Return what a person can fix, or an outage."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code = min((reply[0] for reply in error.recipients.values()), default=0)
            refused = f"notifications.email.recipients: {_refusals(error.recipients)}"
            return _refusal(code, refused, "correct the addresses")
        case smtplib.SMTPResponseException():
            refused, fix = "the e-mail", "see the server's answer"
            if isinstance(error, smtplib.SMTPAuthenticationError):
                refused, fix = f"the login of {_LOGIN}", "correct them"
            elif isinstance(error, smtplib.SMTPSenderRefused):
                refused = f"notifications.email.sender = {addresses.sender!r}"
                fix = f"name an address that it may send from, or set {_LOGIN}"
            said = f"{refused} ({error.smtp_code} {_text(error.smtp_error)})"
            return _refusal(error.smtp_code, said, fix)
        case smtplib.SMTPNotSupportedError():
            return RefusedNotificationError(
                f"the mail server cannot do what is set ({_text(str(error))}); fix: correct "
                f"{_SECURITY} or {_LOGIN}"
            )
        case ssl.SSLEOFError():
            return TemporaryNotificationError(f"{_HOST} broke the connection ({error})")
        case ssl.SSLError():
            return RefusedNotificationError(
                f"no encrypted connection to {_HOST} ({_text(str(error))}); fix: correct {_HOST} "
                f"or {_SECURITY}, or name the server's own certificate authority in SSL_CERT_FILE"
            )
    return TemporaryNotificationError(f"{_HOST} cannot be reached ({_name(error)})")


def _refusal(code: int, refused: str, fix: str) -> Exception:
    # RFC 5321, section 4.2.1: 4yz is transient, 5yz is permanent.
    if code < _FIRST_PERMANENT_REPLY:
        return TemporaryNotificationError(f"the mail server refuses {refused} for now")
    return RefusedNotificationError(f"the mail server refuses {refused}; fix: {fix}")


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    parts = [f"{address} ({code} {_text(said)})" for address, (code, said) in refused.items()]
    return ", ".join(parts)


def _text(said: bytes | str) -> str:
    return sanitize_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, 200)


def _name(error: Exception) -> str:
    return _text(f"{type(error).__name__}: {error}")
