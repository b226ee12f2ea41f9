"""The channels that people are notified on, as a Dagster resource."""

from __future__ import annotations

from typing import Literal

import dagster as dg
from pydantic import Field

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.notifications.channels import (
    EmailChannel,
    MailServer,
    NotificationChannel,
    SlackChannel,
)
from transak_drift.settings import Settings, load_settings


class NotificationResource(dg.ConfigurableResource):
    """Slack and the mail server.

    Its fields are shown in the Dagster UI, so that token and password are none of them: they are
    read from the environment when a channel is opened.
    """

    slack_api_url: str = Field(description="Where Slack's Web API answers.")
    smtp_host: str | None = Field(default=None, description="The mail server.")
    smtp_port: int | None = Field(default=None, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is encrypted."
    )

    def open(self, config: MonitoringConfig) -> dict[str, NotificationChannel]:
        """Return by name each channel that the model configures; nothing is connected yet."""
        wanted = config.notifications
        channels: dict[str, NotificationChannel] = {}
        if wanted is None:
            return channels
        secrets = load_settings()
        if wanted.slack is not None:
            channels["slack"] = SlackChannel(wanted.slack, secrets.slack_token, self.slack_api_url)
        if wanted.email is not None:
            server = MailServer(
                host=self.smtp_host,
                port=self.smtp_port,
                security=self.smtp_security,
                username=secrets.smtp_username,
                password=secrets.smtp_password,
            )
            channels["email"] = EmailChannel(wanted.email, server)
        return channels


def notification_resource(settings: Settings) -> NotificationResource:
    """Return the channels that the settings describe."""
    return NotificationResource(
        slack_api_url=settings.slack_api_url,
        smtp_host=settings.smtp_host,
        smtp_port=settings.smtp_port,
        smtp_security=settings.smtp_security,
    )
