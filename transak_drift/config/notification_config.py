"""Whom Dagster notifies of drift; secrets (token, login) come from environment variables alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from transak_drift.config.fields import Section, fault

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"

SlackChannelName = Annotated[str, Field(pattern=r"^(#[^\s#@<>&,.:|A-Z]{1,80}|[CG][A-Z0-9]{8,20})$")]
# One plain address: several in one text, or a name beside it, would be other recipients than it
# seems.
Mailbox = Annotated[str, Field(pattern=rf"^{_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")]


class SlackNotification(Section):
    """Messages in a channel of Slack."""

    channel: SlackChannelName
    """Channel that the bot is a member of: #name in lower case, or the id from its details."""


class EmailNotification(Section):
    """E-mails."""

    sender: Mailbox
    """Address that the e-mails come from, such as name@example.com, without a name beside it."""

    recipients: tuple[Mailbox, ...] = Field(min_length=1, max_length=50)
    """Addresses that the e-mails go to, each such as name@example.com."""


class NotificationConfig(Section):
    """Whom Dagster notifies of a model's drift events and of what became of them."""

    slack: SlackNotification | None = None
    """Channel of Slack; its token is TRANSAK_DRIFT_SLACK_TOKEN."""

    email: EmailNotification | None = None
    """E-mails; their server is TRANSAK_DRIFT_SMTP_HOST."""

    @model_validator(mode="after")
    def _names_somebody(self) -> NotificationConfig:
        if self.slack is None and self.email is None:
            raise fault("nobody_notified", "names nobody", "add slack or email, or remove the key")
        return self
