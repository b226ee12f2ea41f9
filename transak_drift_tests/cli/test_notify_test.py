"""`transak-drift notify-test`, against Slack and a mail server on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transak_drift.config.model_configs import MODELS_FOLDER
from transak_drift_tests.cli.commands import call
from transak_drift_tests.config.configurations import document
from transak_drift_tests.servers.mail_server import mail_server
from transak_drift_tests.servers.slack_server import SlackServer

TOKEN = "xoxb-the-secret-token"
EMAIL = {"sender": "drift@example.com", "recipients": ["a@example.com"]}


def test_every_channel_of_every_model_is_tested(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / MODELS_FOLDER).mkdir()
    first = document(notifications={"slack": {"channel": "#first"}, "email": EMAIL})
    second = document(
        model_name="second-model",
        monitoring_job_display_name="second_monitor",
        notifications={"slack": {"channel": "#gone"}},
    )
    (project / "monitoring_config.json").write_text(json.dumps(first))
    (project / MODELS_FOLDER / "second.json").write_text(json.dumps(second))
    with SlackServer(TOKEN, "#first") as slack, mail_server() as mail:
        monkeypatch.setenv("TRANSAK_DRIFT_SLACK_TOKEN", TOKEN)
        monkeypatch.setenv("TRANSAK_DRIFT_SLACK_API_URL", slack.url)
        monkeypatch.setenv("TRANSAK_DRIFT_SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("TRANSAK_DRIFT_SMTP_PORT", str(mail.port))
        monkeypatch.setenv("TRANSAK_DRIFT_SMTP_SECURITY", "none")
        every = call("notify-test", "--json")
        chosen = call("notify-test", "--model", "transak-i1-train-model")
    assert every.exit_code == 1
    rows = {(row["model"], row["channel"]): row["result"] for row in json.loads(every.stdout)}
    assert rows["transak-i1-train-model", "slack"] == "sent"
    assert rows["transak-i1-train-model", "email"] == "sent"
    assert "notifications.slack.channel = '#gone'" in rows["second-model", "slack"]
    assert chosen.exit_code == 0
    assert "second-model" not in chosen.output
    assert TOKEN not in every.output + chosen.output
    assert len(slack.messages) == len(mail.messages) == 2
    assert all("nothing drifted" in text for text in slack.texts("#first"))
    identities = {str(message["Message-ID"]) for message in mail.messages}
    assert len(identities) == 2, "no mail program takes the second test for a copy of the first"


def test_without_notifications_nothing_is_sent(project: Path) -> None:
    result = call("notify-test")
    assert result.exit_code == 0
    assert "nothing is sent" in " ".join(result.output.split())
