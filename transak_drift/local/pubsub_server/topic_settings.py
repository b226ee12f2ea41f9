"""A topic's settings: what may be set, and changes by a field mask.

Source: the google.pubsub.v1 `Topic` message's documentation.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.errors import unimplemented
from transak_drift.local.pubsub_server.field_mask import merge_fields
from transak_drift.local.pubsub_server.subscription_settings import require_retention

_UNSUPPORTED = {
    "schema_settings": "schemas",
    "ingestion_data_source_settings": "ingestion from other services",
    "message_transforms": "message transforms",
    "kms_key_name": "customer-managed encryption keys",
}
_MUTABLE = frozenset({"labels", "message_retention_duration", "message_storage_policy"})


def check_topic(topic: types.Topic) -> types.Topic:
    """Return a requested topic if all its settings are allowed.

    Raises:
        PubSubError: INVALID_ARGUMENT: a value is not allowed; UNIMPLEMENTED: the topic asks for a
            feature that this server does not have.
    """
    present = {descriptor.name for descriptor, _ in types.Topic.pb(topic).ListFields()}
    for field, feature in _UNSUPPORTED.items():
        if field in present:
            raise unimplemented(f"{feature} ({field})")
    if topic.message_retention_duration:
        require_retention(topic.message_retention_duration)
    return topic


def change_topic(present: types.Topic, change: types.Topic, paths: Sequence[str]) -> types.Topic:
    """Return the topic with the fields in `paths` taken from `change`.

    Raises:
        PubSubError: as `check_topic`, and INVALID_ARGUMENT for a bad mask.
    """
    changed = types.Topic()
    types.Topic.copy_from(changed, present)
    merge_fields(types.Topic.pb(changed), types.Topic.pb(change), paths, mutable=_MUTABLE)
    return check_topic(changed)
