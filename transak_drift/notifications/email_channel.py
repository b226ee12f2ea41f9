"""Notifications by e-mail, over SMTP.

Dagster's own e-mail functions are private, and they put header fields together as text; here the
standard library's `email` and `smtplib` do the work.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import SecretStr

from transak_drift.config.notification_config import EmailNotification
from transak_drift.notifications.notification import Notification, one_line
from transak_drift.notifications.notification_channel import (
    RefusedNotificationError,
    TemporaryNotificationError,
)
from transak_drift.notifications.notification_email import notification_email

TIMEOUT_SECONDS = 8
_DEFAULT_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_FIRST_PERMANENT_REPLY = 500

_HOST = "TRANSAK_DRIFT_SMTP_HOST"
_LOGIN = "TRANSAK_DRIFT_SMTP_USERNAME and TRANSAK_DRIFT_SMTP_PASSWORD"
_SECURITY = "TRANSAK_DRIFT_SMTP_SECURITY"


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes e-mails.

    Args:
        host: its name or address, or None where none is set.
        port: its port, or None for the usual one: 587, with tls 465, with none 25.
        security: how the connection is encrypted.
        username: login, or None for a server that asks for none.
        password: password of the login; its value is in no repr.
    """

    host: str | None
    port: int | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None


class EmailChannel:
    """E-mails to the configured recipients; implements `NotificationChannel`.

    Args:
        config: sender and recipients.
        server: the server that takes them.
    """

    def __init__(self, config: EmailNotification, server: MailServer) -> None:
        self._config = config
        self._server = server

    def send(self, notification: Notification) -> str | None:
        """See `NotificationChannel`; a connection that breaks may hide an e-mail that was taken.

        The e-mail counts as sent when the server takes it for any recipient; those it refuses are
        returned.
        """
        message = notification_email(notification, self._config, datetime.now(UTC))
        with _explained(self._config), self._connected() as client:
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
def _explained(config: EmailNotification) -> Generator[None]:
    """Turn what smtplib raises into what a person can mend, or into an outage."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise _by_reply(
            error.smtp_code, f"the mail server refuses the login of {_LOGIN}", "correct them", error
        ) from None
    except smtplib.SMTPSenderRefused as error:
        raise _by_reply(
            error.smtp_code,
            f"the mail server refuses notifications.email.sender = {config.sender!r}",
            f"name an address that it may send from, or set {_LOGIN}",
            error,
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        code = min((reply[0] for reply in error.recipients.values()), default=0)
        raise _by_reply(
            code,
            "the mail server refuses notifications.email.recipients: "
            + _refusals(error.recipients),
            "correct the addresses",
        ) from None
    except smtplib.SMTPNotSupportedError as error:
        problem = one_line(str(error), 200)
        raise RefusedNotificationError(
            f"the mail server cannot do what is set ({problem}); fix: correct {_SECURITY} or "
            f"{_LOGIN}"
        ) from None
    except smtplib.SMTPResponseException as error:
        raise _by_reply(
            error.smtp_code,
            "the mail server refuses the e-mail",
            "see the server's answer",
            error,
        ) from None
    except ssl.SSLEOFError as error:
        raise TemporaryNotificationError(f"{_HOST} broke the connection ({error})") from None
    except ssl.SSLError as error:
        raise RefusedNotificationError(
            f"no encrypted connection to {_HOST} ({one_line(str(error), 200)}); fix: correct "
            f"{_HOST} or {_SECURITY}, or name the server's own certificate authority in "
            "SSL_CERT_FILE"
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        problem = one_line(f"{type(error).__name__}: {error}", 200)
        raise TemporaryNotificationError(f"{_HOST} cannot be reached ({problem})") from None


def _by_reply(
    code: int, problem: str, fix: str, error: smtplib.SMTPResponseException | None = None
) -> Exception:
    # RFC 5321, section 4.2.1: 4yz is transient, 5yz is permanent.
    said = "" if error is None else f" ({code} {_text(error.smtp_error)})"
    if code < _FIRST_PERMANENT_REPLY:
        return TemporaryNotificationError(f"{problem} for now{said}")
    return RefusedNotificationError(f"{problem}{said}; fix: {fix}")


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    parts = [f"{address} ({code} {_text(said)})" for address, (code, said) in refused.items()]
    return ", ".join(parts)


def _text(said: bytes | str) -> str:
    return one_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, 200)
