"""A subscription's settings: what may be set, the defaults, and changes by a field mask.

Sources: the google.pubsub.v1 `Subscription` message's documentation; Cloud Pub/Sub documentation,
"Subscription properties". The texts of the errors follow Google's emulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.clock import MICROSECONDS
from transak_drift.local.pubsub_server.errors import (
    invalid_argument,
    out_of_range,
    unimplemented,
)
from transak_drift.local.pubsub_server.field_mask import merge_fields
from transak_drift.local.pubsub_server.lease_rules import (
    DEFAULT_ACK_DEADLINE_SECONDS,
    DEFAULT_DELIVERY_ATTEMPTS,
    MAXIMUM_ACK_DEADLINE_SECONDS,
    MAXIMUM_DELIVERY_ATTEMPTS,
    MINIMUM_ACK_DEADLINE_SECONDS,
    MINIMUM_DELIVERY_ATTEMPTS,
    DeadLetterRule,
    DeliveryRules,
    RetryBackoff,
)

DEFAULT_RETENTION = timedelta(days=7)
MINIMUM_RETENTION = timedelta(minutes=10)
MAXIMUM_RETENTION = timedelta(days=31)
_DEFAULT_MINIMUM_BACKOFF = timedelta(seconds=10)
_DEFAULT_MAXIMUM_BACKOFF = timedelta(seconds=600)
_LONGEST_BACKOFF = timedelta(seconds=600)

_UNSUPPORTED = {
    "filter": "filters",
    "enable_message_ordering": "message ordering",
    "retain_acked_messages": "retaining acknowledged messages",
    "bigquery_config": "export to BigQuery",
    "cloud_storage_config": "export to Cloud Storage",
    "bigtable_config": "export to Bigtable",
    "message_transforms": "message transforms",
    "detached": "detached subscriptions",
}
_MUTABLE = frozenset(
    {
        "ack_deadline_seconds",
        "dead_letter_policy",
        "enable_exactly_once_delivery",
        "expiration_policy",
        "labels",
        "message_retention_duration",
        "push_config",
        "retain_acked_messages",
        "retry_policy",
    }
)


def complete_subscription(requested: types.Subscription) -> types.Subscription:
    """Return a requested subscription with the defaults filled in.

    Raises:
        PubSubError: INVALID_ARGUMENT or OUT_OF_RANGE: a value is not allowed; UNIMPLEMENTED: the
            subscription asks for a feature that this server does not have.
    """
    subscription = types.Subscription()
    types.Subscription.copy_from(subscription, requested)
    _refuse_unsupported(subscription)
    subscription.push_config = types.PushConfig()
    subscription.ack_deadline_seconds = _ack_deadline(subscription.ack_deadline_seconds)
    subscription.message_retention_duration = require_retention(
        subscription.message_retention_duration or DEFAULT_RETENTION
    )
    if subscription.dead_letter_policy:
        policy = subscription.dead_letter_policy
        policy.max_delivery_attempts = _delivery_attempts(policy.max_delivery_attempts)
    if "retry_policy" in subscription:
        subscription.retry_policy = _retry_policy(subscription.retry_policy)
    return subscription


def change_subscription(
    present: types.Subscription, change: types.Subscription, paths: Sequence[str]
) -> types.Subscription:
    """Return the subscription with the fields in `paths` taken from `change`.

    Args:
        present: the subscription as it is.
        change: the update request's subscription.
        paths: the update mask, names of top-level fields.

    Raises:
        PubSubError: as `complete_subscription`, and INVALID_ARGUMENT for a bad mask.
    """
    changed = types.Subscription()
    types.Subscription.copy_from(changed, present)
    merge_fields(
        types.Subscription.pb(changed), types.Subscription.pb(change), paths, mutable=_MUTABLE
    )
    return complete_subscription(changed)


def delivery_rules(subscription: types.Subscription) -> DeliveryRules:
    """Return how the messages of a (completed) subscription are delivered."""
    backoff = None
    if "retry_policy" in subscription:
        policy = subscription.retry_policy
        backoff = RetryBackoff(
            minimum=_microseconds(policy.minimum_backoff),
            maximum=_microseconds(policy.maximum_backoff),
        )
    dead_letter = None
    if subscription.dead_letter_policy:
        dead_letter = DeadLetterRule(
            topic_name=subscription.dead_letter_policy.dead_letter_topic,
            max_delivery_attempts=subscription.dead_letter_policy.max_delivery_attempts,
        )
    return DeliveryRules(
        ack_deadline=subscription.ack_deadline_seconds * MICROSECONDS,
        retention=_microseconds(subscription.message_retention_duration),
        backoff=backoff,
        dead_letter=dead_letter,
    )


def require_retention(duration: timedelta) -> timedelta:
    """Return a retention duration if it is between 10 minutes and 31 days.

    Raises:
        PubSubError: INVALID_ARGUMENT; it is not.
    """
    if not MINIMUM_RETENTION <= duration <= MAXIMUM_RETENTION:
        raise invalid_argument(
            f"message_retention_duration out of bounds: {duration.total_seconds():g} s, allowed "
            f"are {MINIMUM_RETENTION.total_seconds():g} to {MAXIMUM_RETENTION.total_seconds():g} s"
        )
    return duration


def require_ack_deadline(seconds: int, field: str) -> int:
    """Return an ack deadline if it is within 10 to 600 seconds.

    Raises:
        PubSubError: INVALID_ARGUMENT; it is not.
    """
    if not MINIMUM_ACK_DEADLINE_SECONDS <= seconds <= MAXIMUM_ACK_DEADLINE_SECONDS:
        raise invalid_argument(
            f"{field} must be between {MINIMUM_ACK_DEADLINE_SECONDS} and "
            f"{MAXIMUM_ACK_DEADLINE_SECONDS} seconds, not {seconds}"
        )
    return seconds


def _refuse_unsupported(subscription: types.Subscription) -> None:
    if subscription.push_config.push_endpoint:
        raise unimplemented("push delivery (push_config.push_endpoint)")
    present = {
        descriptor.name for descriptor, _ in types.Subscription.pb(subscription).ListFields()
    }
    for field, feature in _UNSUPPORTED.items():
        if field in present:
            raise unimplemented(f"{feature} ({field})")


def _ack_deadline(seconds: int) -> int:
    if seconds == 0:
        return DEFAULT_ACK_DEADLINE_SECONDS
    return require_ack_deadline(seconds, "ack_deadline_seconds")


def _delivery_attempts(attempts: int) -> int:
    if attempts == 0:
        return DEFAULT_DELIVERY_ATTEMPTS
    if attempts < MINIMUM_DELIVERY_ATTEMPTS:
        raise out_of_range(
            f"The value for max_delivery_attempts is too small. You passed {attempts} in the "
            f"request, but the minimum value is {MINIMUM_DELIVERY_ATTEMPTS}."
        )
    if attempts > MAXIMUM_DELIVERY_ATTEMPTS:
        raise out_of_range(
            f"The value for max_delivery_attempts is too large. You passed {attempts} in the "
            f"request, but the maximum value is {MAXIMUM_DELIVERY_ATTEMPTS}."
        )
    return attempts


def _retry_policy(policy: types.RetryPolicy) -> types.RetryPolicy:
    minimum = _backoff(policy, "minimum_backoff", _DEFAULT_MINIMUM_BACKOFF)
    maximum = _backoff(policy, "maximum_backoff", _DEFAULT_MAXIMUM_BACKOFF)
    if maximum < minimum:
        raise invalid_argument(
            f"The value for maximum_backoff is too small. You passed {maximum.total_seconds():g}s "
            f"in the request, but the minimum value is {minimum.total_seconds():g}s."
        )
    return types.RetryPolicy(minimum_backoff=minimum, maximum_backoff=maximum)


def _backoff(policy: types.RetryPolicy, field: str, default: timedelta) -> timedelta:
    if field not in policy:
        return default
    duration: timedelta = getattr(policy, field)
    if not timedelta(0) <= duration <= _LONGEST_BACKOFF:
        raise invalid_argument(
            f"The value for {field} is out of bounds. You passed {duration.total_seconds():g}s in "
            "the request, but the value must be between 0s and 600s."
        )
    return duration


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
