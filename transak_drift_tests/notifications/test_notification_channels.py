"""Slack and e-mail, by their real clients against servers on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from transak_drift.config.sections import EmailNotification, SlackNotification
from transak_drift.defs.drift_notification_sensor import configured_channels
from transak_drift.notifications.channels import (
    EmailChannel,
    MailServer,
    RefusedNotificationError,
    SlackChannel,
    TemporaryNotificationError,
)
from transak_drift.notifications.texts import Notification
from transak_drift.settings import Settings
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.servers.mail_server import mail_server, write_certificate
from transak_drift_tests.servers.slack_server import Answer, SlackServer, slack_server

TOKEN = "xoxb-the-secret-token"
PASSWORD = "the-secret-password"
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


@pytest.fixture(scope="module")
def server() -> Iterator[SlackServer]:
    with slack_server(TOKEN, CHANNEL) as server:
        yield server


@pytest.fixture
def slack(server: SlackServer) -> SlackServer:
    server.messages.clear()
    server.answers.clear()
    server.calls = 0
    return server


def slack_channel(
    server: SlackServer, channel: str = CHANNEL, token: str | None = TOKEN
) -> SlackChannel:
    secret = None if token is None else SecretStr(token)
    return SlackChannel(SlackNotification(channel=channel), secret, server.url)


def test_slack_gets_the_message_once(slack: SlackServer) -> None:
    slack_channel(slack).send(NOTIFICATION)
    assert slack.texts(CHANNEL) == [
        "*Drift of transak on 2026-05-04: a training is requested*\n"
        "• feature &lt;type&gt;: `distance 0.6100, threshold 0.3`\n"
        "<https://dagster.example.com/runs/1?a=b&amp;c=d|Training run>"
    ]
    assert slack.calls == 1


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer.error("ratelimited", 429, Retry_After="42"), 42),
        (Answer.error("ratelimited", 429, Retry_After="²"), None),
        (Answer.error("internal_error"), None),
        (Answer.error("service_unavailable", 503), None),
        (Answer(502, b"<html>bad gateway</html>"), None),
        (Answer(500, b""), None),
    ],
)
def test_an_outage_of_slack_is_temporary_and_the_client_repeats_nothing_by_itself(
    slack: SlackServer, answer: Answer, seconds: float | None
) -> None:
    slack.answers.append(answer)
    with pytest.raises(TemporaryNotificationError) as raised:
        slack_channel(slack).send(NOTIFICATION)
    assert raised.value.retry_after == seconds
    assert slack.calls == 1
    slack_channel(slack).send(NOTIFICATION)
    assert len(slack.messages) == 1


def test_a_slack_that_does_not_answer_is_temporary() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/"
    channel = SlackChannel(SlackNotification(channel=CHANNEL), SecretStr(TOKEN), url)
    with pytest.raises(TemporaryNotificationError, match="cannot be reached") as raised:
        channel.send(NOTIFICATION)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    ("channel", "token", "answers", "told"),
    [
        ("#other", TOKEN, [], r"notifications\.slack\.channel = '#other' .*fix: name a"),
        (CHANNEL, "xoxb-wrong", [], r"TRANSAK_DRIFT_SLACK_TOKEN \(invalid_auth\); fix: set it"),
        (CHANNEL, None, [], "TRANSAK_DRIFT_SLACK_TOKEN is not set"),
        (CHANNEL, TOKEN, [Answer.error("missing_scope")], "chat:write"),
    ],
)
def test_what_slack_refuses_names_the_setting_and_the_fix(
    slack: SlackServer, channel: str, token: str | None, answers: list[Answer], told: str
) -> None:
    slack.answers += answers
    with pytest.raises(RefusedNotificationError, match=told) as raised:
        slack_channel(slack, channel, token).send(NOTIFICATION)
    assert "xoxb-wrong" not in str(raised.value)


# aiosmtpd takes only STARTTLS for encryption.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_email_goes_encrypted_and_with_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert security in ("starttls", "tls")
    with mail_server(security, certificate, "drift", PASSWORD) as server:
        known = MailServer("127.0.0.1", server.port, security, "drift", SecretStr(PASSWORD))
        assert EmailChannel(ADDRESSES, known).send(NOTIFICATION) is None
        wrong = MailServer("127.0.0.1", server.port, security, "drift", SecretStr("wrong"))
        with pytest.raises(
            RefusedNotificationError, match=r"TRANSAK_DRIFT_SMTP_PASSWORD \(535"
        ) as raised:
            EmailChannel(ADDRESSES, wrong).send(NOTIFICATION)
        assert "'wrong'" not in str(raised.value)
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(RefusedNotificationError, match="SSL_CERT_FILE"):
            EmailChannel(ADDRESSES, known).send(NOTIFICATION)
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
    ("server", "said"),
    [
        (
            MailServer("mail.example.com", 25, "none", "drift", SecretStr(PASSWORD)),
            "TRANSAK_DRIFT_SMTP_SECURITY = none would send the password unencrypted",
        ),
        (MailServer(None), "TRANSAK_DRIFT_SMTP_HOST is not set"),
        (MailServer("127.0.0.1", username="drift"), "set both or none"),
    ],
)
def test_a_wrong_setting_of_the_mail_server_is_named(server: MailServer, said: str) -> None:
    with pytest.raises(RefusedNotificationError, match=said):
        EmailChannel(ADDRESSES, server).send(NOTIFICATION)


def test_replies_of_the_mail_server_are_told_apart() -> None:
    with mail_server() as server:
        channel = EmailChannel(ADDRESSES, MailServer("127.0.0.1", server.port, "none"))
        server.replies.append("451 try later")
        with pytest.raises(TemporaryNotificationError, match="451 try later"):
            channel.send(NOTIFICATION)
        server.replies.append("554 looks like spam")
        with pytest.raises(RefusedNotificationError, match="554 looks like spam"):
            channel.send(NOTIFICATION)

        server.refused_recipients["a@example.com"] = "550 unknown"
        remark = channel.send(NOTIFICATION)
        assert remark is not None and "a@example.com (550 unknown)" in remark
        assert server.recipients == [["b@example.com"]]

        server.refused_recipients["b@example.com"] = "450 later"
        with pytest.raises(TemporaryNotificationError, match="450 later"):
            channel.send(NOTIFICATION)
        server.refused_recipients["b@example.com"] = "550 unknown"
        with pytest.raises(RefusedNotificationError, match=r"notifications\.email\.recipients"):
            channel.send(NOTIFICATION)

        encrypted = EmailChannel(ADDRESSES, MailServer("127.0.0.1", server.port, "starttls"))
        with pytest.raises(RefusedNotificationError, match="TRANSAK_DRIFT_SMTP_SECURITY"):
            encrypted.send(NOTIFICATION)
    with pytest.raises(TemporaryNotificationError, match="cannot be reached"):
        channel.send(NOTIFICATION)


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
    texts += [repr(vars(channel)) for channel in channels.values()]
    assert not [text for text in texts if TOKEN in text or PASSWORD in text]
