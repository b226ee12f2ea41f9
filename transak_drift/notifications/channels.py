"""The channels that people are notified on: Slack through dagster-slack, e-mail over SMTP.

Dagster's own e-mail functions are private, and they put header fields together as text; here the
standard library's `email` and `smtplib` do the work.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Literal, Protocol

from pydantic import SecretStr

from transak_drift.config.sections import EmailNotification, SlackNotification
from transak_drift.notifications.texts import Notification, notification_email, slack_text
from transak_drift.reports.sanitize import sanitize_line

TIMEOUT_SECONDS = 8
TOKEN_VARIABLE = "TRANSAK_DRIFT_SLACK_TOKEN"

# Error codes as in the Slack API documentation of chat.postMessage.
_TEMPORARY = ("fatal_error", "internal_error", "request_timeout", "service_unavailable")
_CHANNEL_FIXES = {
    "channel_not_found": "name a channel that exists, and invite the bot to it",
    "not_in_channel": "invite the bot to the channel with /invite",
    "is_archived": "name a channel that is not archived",
    "restricted_action": "name a channel that the bot may write to",
}
_TOKEN_FIX = "set it to the bot token (xoxb-...) of a Slack app that is installed"
_SCOPE_FIX = "give the Slack app the scope chat:write, and install it again"
_TOKEN_FIXES = {
    **dict.fromkeys(("missing_scope", "no_permission"), _SCOPE_FIX),
    **dict.fromkeys(
        (
            "access_denied",
            "account_inactive",
            "invalid_auth",
            "not_allowed_token_type",
            "not_authed",
            "token_expired",
            "token_revoked",
        ),
        _TOKEN_FIX,
    ),
}

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


class NotificationChannel(Protocol):
    """One channel, ready to send."""

    def send(self, notification: Notification) -> str | None:
        """Send a notification; on return the service has taken it.

        Returns what the reader of the log should know nonetheless. Raises
        `TemporaryNotificationError` in an outage or where there are too many messages, and
        `RefusedNotificationError` for a wrong setting.
        """


class SlackChannel:
    """A channel of Slack, written to with a bot token; implements `NotificationChannel`."""

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
            raise _slack_error(
                self._channel,
                int(answer.status_code),
                str(answer.get("error", "")),
                headers.get("retry-after"),
            ) from None
        except (SlackClientError, OSError, HTTPException) as error:
            raise TemporaryNotificationError(f"Slack cannot be reached ({_name(error)})") from None
        return None


def _slack_error(channel: str, status: int, code: str, retry_after: str | None) -> Exception:
    shown = sanitize_line(code, 100)
    if status == HTTPStatus.TOO_MANY_REQUESTS or code in ("ratelimited", "rate_limited"):
        number = re.fullmatch(r"[0-9]{1,9}", retry_after or "")
        seconds = None if number is None else float(number[0])
        return TemporaryNotificationError("Slack takes no more messages for now", seconds)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _TEMPORARY:
        return TemporaryNotificationError(f"Slack is out of order (HTTP {status}, {shown})")
    if code in _TOKEN_FIXES:
        fix = _TOKEN_FIXES[code]
        return RefusedNotificationError(f"Slack refuses {TOKEN_VARIABLE} ({shown}); fix: {fix}")
    fix = _CHANNEL_FIXES.get(code, "see this error of chat.postMessage in Slack's documentation")
    return RefusedNotificationError(
        f"Slack refuses notifications.slack.channel = {channel!r} ({shown}, HTTP {status}); "
        f"fix: {fix}"
    )


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes e-mails; without a port the usual one: 587, with tls 465, or 25."""

    host: str | None
    port: int | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None


class EmailChannel:
    """E-mails to the configured recipients; implements `NotificationChannel`."""

    def __init__(self, config: EmailNotification, server: MailServer) -> None:
        self._config = config
        self._server = server

    def send(self, notification: Notification) -> str | None:
        """See `NotificationChannel`; a connection that breaks may hide an e-mail that was taken.

        The e-mail counts as sent when the server takes it for any recipient; those it refuses are
        returned.
        """
        message = notification_email(notification, self._config, datetime.now(UTC))
        with _mail_errors(self._config), self._connected() as client:
            refused = client.send_message(
                message, self._config.sender, list(self._config.recipients)
            )
        return f"refused for {_refusals(refused)}" if refused else None

    @contextmanager
    def _connected(self) -> Generator[smtplib.SMTP]:
        server = self._server
        if server.host is None:
            raise RefusedNotificationError(f"{_HOST} is not set; fix: name the mail server")
        if (server.username is None) != (server.password is None):
            raise RefusedNotificationError(f"only one of {_LOGIN} is set; fix: set both or none")
        if server.security == "none" and server.username and server.host not in _LOOPBACK:
            raise RefusedNotificationError(
                f"{_SECURITY} = none would send the password unencrypted; fix: set starttls or tls"
            )
        port = server.port or _DEFAULT_PORTS[server.security]
        # Reads SSL_CERT_FILE, for a server whose certificate is the organisation's own.
        trust = ssl.create_default_context()
        if server.security == "tls":
            client = smtplib.SMTP_SSL(server.host, port, timeout=TIMEOUT_SECONDS, context=trust)
        else:
            client = smtplib.SMTP(server.host, port, timeout=TIMEOUT_SECONDS)
        try:
            if server.security == "starttls":
                client.starttls(context=trust)
            if server.username is not None and server.password is not None:
                client.login(server.username, server.password.get_secret_value())
            yield client
            # The e-mail is taken by now: a farewell that fails must not send it again.
            with suppress(smtplib.SMTPException, OSError):
                client.quit()
        finally:
            client.close()


@contextmanager
def _mail_errors(config: EmailNotification) -> Generator[None]:
    """Turn what smtplib raises into what a person can fix, or into an outage."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        code = min((reply[0] for reply in error.recipients.values()), default=0)
        refused = f"notifications.email.recipients: {_refusals(error.recipients)}"
        raise _refused(code, refused, "correct the addresses") from None
    except smtplib.SMTPResponseException as error:
        refused, fix = "the e-mail", "see the server's answer"
        if isinstance(error, smtplib.SMTPAuthenticationError):
            refused, fix = f"the login of {_LOGIN}", "correct them"
        elif isinstance(error, smtplib.SMTPSenderRefused):
            refused = f"notifications.email.sender = {config.sender!r}"
            fix = f"name an address that it may send from, or set {_LOGIN}"
        said = f"{refused} ({error.smtp_code} {_text(error.smtp_error)})"
        raise _refused(error.smtp_code, said, fix) from None
    except smtplib.SMTPNotSupportedError as error:
        problem = sanitize_line(str(error), 200)
        raise RefusedNotificationError(
            f"the mail server cannot do what is set ({problem}); fix: correct {_SECURITY} or "
            f"{_LOGIN}"
        ) from None
    except ssl.SSLEOFError as error:
        raise TemporaryNotificationError(f"{_HOST} broke the connection ({error})") from None
    except ssl.SSLError as error:
        raise RefusedNotificationError(
            f"no encrypted connection to {_HOST} ({sanitize_line(str(error), 200)}); fix: correct "
            f"{_HOST} or {_SECURITY}, or name the server's own certificate authority in "
            "SSL_CERT_FILE"
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        raise TemporaryNotificationError(f"{_HOST} cannot be reached ({_name(error)})") from None


def _refused(code: int, refused: str, fix: str) -> Exception:
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
    return sanitize_line(f"{type(error).__name__}: {error}", 200)
