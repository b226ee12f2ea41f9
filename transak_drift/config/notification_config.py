"""The part of the configuration that says whom Dagster tells of drift: in Slack and by e-mail.

Secrets (token, login) are no part of it; they come from environment variables alone.
"""

from __future__ import annotations

import re
from email.headerregistry import Address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from transak_drift.config.fields import EmailAddress

_CHANNEL_NAME = r"#[^\s#@<>&,.:|A-Z]{1,80}"
_CHANNEL_ID = r"[CG][A-Z0-9]{8,20}"


def _slack_channel(value: str) -> str:
    if re.fullmatch(f"{_CHANNEL_NAME}|{_CHANNEL_ID}", value):
        return value
    raise PydanticCustomError(
        "slack_channel",
        "is not a channel of Slack",
        {"fix": "write #name in lower case, or the id from the channel's details"},
    )


def _mailbox(value: str) -> str:
    # Several addresses in one text, or a name beside it, would be other recipients than it seems.
    if not re.search(r'[,;:<>()\[\]"\\\x00-\x1f\x7f]', value):
        try:
            Address(addr_spec=value)
        except (ValueError, IndexError):
            pass
        else:
            return value
    raise PydanticCustomError(
        "mailbox",
        "is not one plain e-mail address",
        {"fix": "write an address in ASCII such as name@example.com, without a name beside it"},
    )


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    # As a limit of the field it would also be reported where every item of a full list is wrong.
    if not value:
        raise PydanticCustomError("no_recipient", "is empty", {"fix": "add an address"})
    return value


Mailbox = Annotated[EmailAddress, AfterValidator(_mailbox)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SlackNotification(_Section):
    """Messages in a channel of Slack."""

    channel: Annotated[str, AfterValidator(_slack_channel)] = Field(
        description="Channel that the bot is a member of: #name, or its id."
    )


class EmailNotification(_Section):
    """E-mails."""

    sender: Mailbox = Field(description="Address that the e-mails come from.")
    recipients: Annotated[tuple[Mailbox, ...], AfterValidator(_not_empty)] = Field(
        max_length=50,
        description="Addresses that the e-mails go to.",
        json_schema_extra={"minItems": 1},
    )


class NotificationConfig(_Section):
    """Whom Dagster tells of a model's drift events and of what became of them."""

    slack: SlackNotification | None = Field(
        default=None, description="Channel of Slack; its token is TRANSAK_DRIFT_SLACK_TOKEN."
    )
    email: EmailNotification | None = Field(
        default=None, description="E-mails; their server is TRANSAK_DRIFT_SMTP_HOST."
    )

    @model_validator(mode="after")
    def _names_somebody(self) -> NotificationConfig:
        if self.slack is None and self.email is None:
            raise PydanticCustomError(
                "nobody_notified", "names nobody", {"fix": "add slack or email, or remove the key"}
            )
        return self
