"""Slack and e-mail, by their real clients against servers on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from transak_drift.config.sections import EmailNotification
from transak_drift.notifications.channels import (
    RefusedNotificationError,
    TemporaryNotificationError,
    configured_channels,
    send_email,
    send_to_slack,
)
from transak_drift.notifications.texts import Notification
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.servers.mail_server import mail_server, write_certificate
from transak_drift_tests.servers.slack_server import Answer, SlackServer

TOKEN = "xoxb-the-secret-token"
PASSWORD = "the-secret-password"
LOGIN = {"smtp_username": "drift", "smtp_password": PASSWORD}
CHANNEL = "#ml-drift"
ADDRESSES = EmailNotification(
    sender="drift@example.com", recipients=("a@example.com", "b@example.com")
)
NOTIFICATION = Notification(
    identity="decided/monitor/job-1",
    answers=None,
    headline="Drift of transak on 2026-05-04: a training is requested",
    result="a training is requested",
    lines=(("feature <type>", "distance 0.6100, threshold 0.3"),),
    links=(("Training run", "https://dagster.example.com/runs/1?a=b&c=d"),),
)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer(TOKEN, CHANNEL) as server:
        yield server


def to_slack(url: str, channel: str = CHANNEL, token: str | None = TOKEN) -> None:
    secret = None if token is None else SecretStr(token)
    send_to_slack(channel, Settings(slack_token=secret, slack_api_url=url), NOTIFICATION)


def mail_to(port: int, security: Any = "none", **settings: Any) -> str | None:
    known = Settings(smtp_host="127.0.0.1", smtp_port=port, smtp_security=security, **settings)
    return send_email(ADDRESSES, known, NOTIFICATION)


def test_slack_gets_the_message_once(slack: SlackServer) -> None:
    to_slack(slack.url)
    assert slack.texts(CHANNEL) == [
        "*Drift of transak on 2026-05-04: a training is requested*\n"
        "• feature &lt;type&gt;: `distance 0.6100, threshold 0.3`\n"
        "<https://dagster.example.com/runs/1?a=b&amp;c=d|Training run>"
    ]
    assert len(slack.requests) == 1


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer.error("ratelimited", 429, Retry_After="42"), 42),
        (Answer.error("ratelimited", 429, Retry_After="²"), None),
        (Answer.error("internal_error"), None),
        (Answer(502, b"<html>bad gateway</html>"), None),
    ],
)
def test_an_outage_of_slack_is_temporary_and_the_client_repeats_nothing_by_itself(
    slack: SlackServer, answer: Answer, seconds: float | None
) -> None:
    slack.answers.append(answer)
    with pytest.raises(TemporaryNotificationError) as raised:
        to_slack(slack.url)
    assert raised.value.retry_after == seconds
    assert len(slack.requests) == 1


def test_what_slack_refuses_names_the_setting_and_the_fix(slack: SlackServer) -> None:
    setting = r"notifications\.slack\.channel = '#other' .*fix: name a"
    with pytest.raises(RefusedNotificationError, match=setting):
        to_slack(slack.url, "#other")
    wrong = r"TRANSAK_DRIFT_SLACK_TOKEN \(invalid_auth\); fix: set it"
    with pytest.raises(RefusedNotificationError, match=wrong) as raised:
        to_slack(slack.url, token="xoxb-wrong")
    assert "xoxb-wrong" not in str(raised.value)
    with pytest.raises(RefusedNotificationError, match="TRANSAK_DRIFT_SLACK_TOKEN is not set"):
        to_slack(slack.url, token=None)
    slack.answers.append(Answer.error("missing_scope"))
    with pytest.raises(RefusedNotificationError, match="chat:write"):
        to_slack(slack.url)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/"
    with pytest.raises(TemporaryNotificationError, match="cannot be reached") as silent:
        to_slack(url)
    assert TOKEN not in str(silent.value)


# aiosmtpd takes only STARTTLS for encryption.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_email_goes_encrypted_and_with_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: Literal["starttls", "tls"]
) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(security, certificate, "drift", PASSWORD) as server:
        assert mail_to(server.port, security, **LOGIN) is None
        with pytest.raises(
            RefusedNotificationError, match=r"TRANSAK_DRIFT_SMTP_PASSWORD \(535"
        ) as raised:
            mail_to(server.port, security, **LOGIN | {"smtp_password": "wrong"})
        assert "'wrong'" not in str(raised.value)
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(RefusedNotificationError, match="SSL_CERT_FILE"):
            mail_to(server.port, security, **LOGIN)
    assert (server.encrypted, server.logins) == ([True], ["drift"])
    assert server.recipients == [["a@example.com", "b@example.com"]]
    [message] = server.messages
    assert message["Subject"] == NOTIFICATION.headline
    assert message["Message-ID"].endswith("@example.com>")
    assert message.get_content().splitlines() == [
        NOTIFICATION.headline,
        "",
        "feature <type>: distance 0.6100, threshold 0.3",
        "",
        "Training run: https://dagster.example.com/runs/1?a=b&c=d",
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"smtp_host": "mail.example.com", "smtp_security": "none", **LOGIN},
            "TRANSAK_DRIFT_SMTP_SECURITY = none would send the password unencrypted",
        ),
        ({}, "TRANSAK_DRIFT_SMTP_HOST is not set"),
        ({"smtp_host": "127.0.0.1", "smtp_username": "drift"}, "set both or none"),
    ],
)
def test_a_wrong_setting_of_the_mail_server_is_named(settings: Any, said: str) -> None:
    with pytest.raises(RefusedNotificationError, match=said):
        send_email(ADDRESSES, Settings(**settings), NOTIFICATION)


def test_replies_of_the_mail_server_are_told_apart() -> None:
    first, second = ADDRESSES.recipients
    with mail_server() as server:

        def refused(error: type[Exception], match: str, security: str = "none") -> None:
            with pytest.raises(error, match=match):
                mail_to(server.port, security)

        server.replies.append("451 try later")
        refused(TemporaryNotificationError, "451 try later")
        server.replies.append("554 looks like spam")
        refused(RefusedNotificationError, "554 looks like spam")
        server.refused_recipients[first] = "550 unknown"
        remark = mail_to(server.port)
        assert remark is not None and f"{first} (550 unknown)" in remark
        assert server.recipients == [[second]]
        server.refused_recipients[second] = "450 later"
        refused(TemporaryNotificationError, "450 later")
        server.refused_recipients[second] = "550 unknown"
        refused(RefusedNotificationError, r"notifications\.email\.recipients")
        refused(RefusedNotificationError, "TRANSAK_DRIFT_SMTP_SECURITY", "starttls")
    refused(TemporaryNotificationError, "cannot be reached")


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_SLACK_TOKEN", TOKEN)
    monkeypatch.setenv("TRANSAK_DRIFT_SMTP_USERNAME", "drift")
    monkeypatch.setenv("TRANSAK_DRIFT_SMTP_PASSWORD", PASSWORD)
    config = configuration(
        notifications={"slack": {"channel": CHANNEL}, "email": ADDRESSES.model_dump(mode="json")}
    )
    channels = configured_channels(config, Settings())
    assert list(channels) == ["slack", "email"]
    texts = [repr(Settings()), *map(repr, channels.values())]
    assert not [text for text in texts if TOKEN in text or PASSWORD in text]
