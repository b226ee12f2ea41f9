"""Names of Pub/Sub resources.

Source of the rules: Cloud Pub/Sub documentation, "Guidelines to name a topic, subscription, schema,
or snapshot".
"""

from __future__ import annotations

import re
from typing import Literal

from transak_drift.local.pubsub_server.errors import invalid_argument

DELETED_TOPIC = "_deleted-topic_"
"""What a subscription names as its topic once that topic has been deleted."""

_PROJECT = re.compile(r"projects/[A-Za-z0-9.:_-]{1,100}", re.ASCII)
_RESOURCE_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}", re.ASCII)


def require_project_name(name: str) -> str:
    """Return `name` if it is `projects/<project>`.

    Raises:
        PubSubError: INVALID_ARGUMENT; it is not.
    """
    if _PROJECT.fullmatch(name) is None:
        raise invalid_argument(f"Invalid [projects] name: (name={name[:300]})")
    return name


def require_resource_name(name: str, collection: Literal["topics", "subscriptions"]) -> str:
    """Return `name` if it is `projects/<project>/<collection>/<id>` with an allowed id.

    An id has 3 to 255 characters, begins with a letter, holds letters, digits and `-._~+%` only,
    and does not begin with `goog`.

    Raises:
        PubSubError: INVALID_ARGUMENT; the name breaks a rule.
    """
    parts = name.split("/")
    if (
        len(parts) != 4
        or parts[2] != collection
        or _PROJECT.fullmatch(f"{parts[0]}/{parts[1]}") is None
        or _RESOURCE_ID.fullmatch(parts[3]) is None
    ):
        raise invalid_argument(f"Invalid [{collection}] name: (name={name[:300]})")
    return name


def split_resource_name(name: str) -> tuple[str, str]:
    """Return the project id and the resource id of a valid resource name."""
    _, project, _, resource_id = name.split("/")
    return project, resource_id
