"""The trigger topic, its subscription and its dead letters, through the real Pub/Sub client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import subscription_name, topic_name
from transak_drift.pubsub.connection import RETRY, PubSubClients
from transak_drift.trigger.message import ACK_DEADLINE_SECONDS, ReceivedMessage

CALL_DEADLINE_SECONDS = 20.0
LONGEST_PULL_SECONDS = 20.0
ACK_IDS_PER_CALL = 1_000
CONCURRENT_CALLS = 4
RETENTION_SECONDS = 7 * 24 * 3600
# The sensor forwards bad messages itself and holds good ones over ticks, so the server's own
# dead-lettering is only the last resort for a message that nobody ever settles.
MAX_DELIVERY_ATTEMPTS = 100
LARGEST_BODY = 9_990_000
MOST_ATTRIBUTES = 100
LONGEST_ATTRIBUTE = 1_000

REASON_ATTRIBUTE = "reason"
DETAIL_ATTRIBUTE = "detail"
SOURCE_MESSAGE_ATTRIBUTE = "source_message_id"
SOURCE_SUBSCRIPTION_ATTRIBUTE = "source_subscription"
_OWN_ATTRIBUTES = (
    REASON_ATTRIBUTE,
    DETAIL_ATTRIBUTE,
    SOURCE_MESSAGE_ATTRIBUTE,
    SOURCE_SUBSCRIPTION_ATTRIBUTE,
)

# Thousands of messages a tick have none.
_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DeadLetterMessage:
    """One message in the dead-letter topic.

    Args:
        message: the message as pulled from the dead-letter subscription.
        reason: why it was rejected, or `max_delivery_attempts` where Pub/Sub forwarded it.
        detail: the field, its value and what was expected.
        source_message_id: id of the rejected message.
        publish_time: when it was forwarded, UTC.
    """

    message: ReceivedMessage
    reason: str
    detail: str
    source_message_id: str
    publish_time: datetime


class TriggerQueue:
    """The Pub/Sub side of the trigger of one monitored model.

    Args:
        clients: the connected clients.
        config: names the project, the topics and the subscriptions.
    """

    def __init__(self, clients: PubSubClients, config: MonitoringConfig) -> None:
        self._publisher = clients.publisher
        self._subscriber = clients.subscriber
        self._clients = clients
        project = config.project_id
        self.topic = topic_name(project, config.trigger_topic)
        self.subscription = subscription_name(project, config.trigger_subscription)
        self.dead_letter_topic = topic_name(project, config.dead_letter_topic)
        self.dead_letter_subscription = subscription_name(project, config.dead_letter_subscription)

    def ensure_exists(self) -> None:
        """Create the topics and subscriptions that do not exist, as Terraform does on gcp."""
        for topic in (self.topic, self.dead_letter_topic):
            _ignore_existing(
                lambda topic=topic: self._publisher.create_topic(
                    name=topic, retry=RETRY, timeout=CALL_DEADLINE_SECONDS
                )
            )
        retention = timedelta(seconds=RETENTION_SECONDS)
        for subscription in (
            types.Subscription(
                name=self.subscription,
                topic=self.topic,
                ack_deadline_seconds=ACK_DEADLINE_SECONDS,
                message_retention_duration=retention,
                dead_letter_policy=types.DeadLetterPolicy(
                    dead_letter_topic=self.dead_letter_topic,
                    max_delivery_attempts=MAX_DELIVERY_ATTEMPTS,
                ),
            ),
            types.Subscription(
                name=self.dead_letter_subscription,
                topic=self.dead_letter_topic,
                ack_deadline_seconds=ACK_DEADLINE_SECONDS,
                message_retention_duration=retention,
            ),
        ):
            _ignore_existing(
                lambda subscription=subscription: self._subscriber.create_subscription(
                    request=subscription, retry=RETRY, timeout=CALL_DEADLINE_SECONDS
                )
            )

    def publish(self, body: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish a message to the trigger topic.

        Args:
            body: the message's data.
            attributes: its attributes.

        Returns:
            The id of the message, once the server holds it.
        """
        return self._publish(self.topic, [(body, attributes or {})])[0]

    def publish_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Publish messages to the trigger topic in as few calls as their size allows.

        Args:
            bodies: the data of each message.

        Returns:
            Their ids, in order.
        """
        return self._publish(self.topic, [(body, {}) for body in bodies])

    def pull(
        self, maximum_messages: int, maximum_bytes: int, wait_seconds: float
    ) -> list[ReceivedMessage]:
        """Pull until nothing is left, or a bound is reached; for 20 seconds at most.

        Args:
            maximum_messages: at most so many messages.
            maximum_bytes: no further call once so many bytes were pulled.
            wait_seconds: how long a call waits for a message, 2 or more: a call that is given up
                while its answer is on the way leaves messages leased to nobody for a while.

        Returns:
            The messages in the order of delivery; each is leased for the ack deadline.
        """
        deliveries = self._deliveries(
            self.subscription, maximum_messages, maximum_bytes, wait_seconds
        )
        return [_received(delivery) for delivery in deliveries]

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge deliveries; an expired ack id is no error, the message comes again."""
        self._acknowledge(self.subscription, ack_ids)

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Lease deliveries for so many seconds (at most 600) from now."""
        self._modify_ack_deadline(self.subscription, ack_ids, seconds)

    def forward_to_dead_letters(
        self, letters: Sequence[tuple[ReceivedMessage, str, str]]
    ) -> list[str]:
        """Publish rejected messages to the dead-letter topic, then acknowledge them.

        Args:
            letters: for each the message, the reason and the detail.

        Returns:
            Ids of the forwarded messages. Where the process dies between the two calls the
            message is delivered, rejected and forwarded again: twice, but never lost.
        """
        forwarded = self.publish_dead_letters(letters)
        self.acknowledge([message.ack_id for message, _, _ in letters])
        return forwarded

    def publish_dead_letters(
        self,
        letters: Sequence[tuple[ReceivedMessage, str, str]],
        source_subscription: str | None = None,
    ) -> list[str]:
        """Publish rejected messages to the dead-letter topic and acknowledge nothing.

        For messages that were pushed: what the push answers is their acknowledgement.

        Args:
            letters: for each the message, the reason and the detail.
            source_subscription: the subscription that pushed them; by default the trigger's own.

        Returns:
            Ids of the published messages.
        """
        source = source_subscription or self.subscription
        return self._publish(
            self.dead_letter_topic,
            [
                (
                    message.data[:LARGEST_BODY],
                    _dead_letter_attributes(message, reason, detail, source),
                )
                for message, reason, detail in letters
            ],
        )

    def list_dead_letters(self, maximum: int) -> list[DeadLetterMessage]:
        """Look at dead letters and leave them where they are.

        Args:
            maximum: at most so many.

        Returns:
            The dead letters, oldest first; their lease is given back at once.
        """
        letters = list(self._pull_dead_letters(maximum))
        self._modify_ack_deadline(
            self.dead_letter_subscription, [letter.message.ack_id for letter in letters], 0
        )
        return letters

    def replay_dead_letters(
        self, maximum: int, source_message_ids: Sequence[str] | None = None
    ) -> list[str]:
        """Publish dead letters to the trigger topic again, then take them out.

        Args:
            maximum: look at so many dead letters at most.
            source_message_ids: only these rejected messages, or None for all.

        Returns:
            Ids of the messages as published again.
        """
        replayed: list[str] = []
        unwanted: list[str] = []
        for letter in list(self._pull_dead_letters(maximum)):
            ack_id = letter.message.ack_id
            if (
                source_message_ids is not None
                and letter.source_message_id not in source_message_ids
            ):
                unwanted.append(ack_id)
                continue
            attributes = {
                key: value
                for key, value in letter.message.attributes.items()
                if key not in _OWN_ATTRIBUTES
            }
            replayed.append(self.publish(letter.message.data, attributes))
            self._acknowledge(self.dead_letter_subscription, [ack_id])
        self._modify_ack_deadline(self.dead_letter_subscription, unwanted, 0)
        return replayed

    def close(self) -> None:
        """Close the clients."""
        self._clients.close()

    def _acknowledge(self, subscription: str, ack_ids: Sequence[str]) -> None:
        _in_parts(
            ack_ids,
            lambda valid: self._subscriber.acknowledge(
                subscription=subscription,
                ack_ids=valid,
                retry=RETRY,
                timeout=CALL_DEADLINE_SECONDS,
            ),
        )

    def _modify_ack_deadline(self, subscription: str, ack_ids: Sequence[str], seconds: int) -> None:
        _in_parts(
            ack_ids,
            lambda valid: self._subscriber.modify_ack_deadline(
                subscription=subscription,
                ack_ids=valid,
                ack_deadline_seconds=seconds,
                retry=RETRY,
                timeout=CALL_DEADLINE_SECONDS,
            ),
        )

    def _publish(
        self, topic: str, messages: Sequence[tuple[bytes, Mapping[str, str]]]
    ) -> list[str]:
        ids: list[str] = []
        for part in _parts_by_size(messages, 1_000, LARGEST_BODY):
            response = self._publisher.publish(
                topic=topic,
                messages=[
                    types.PubsubMessage(data=body, attributes=dict(attributes))
                    for body, attributes in part
                ],
                retry=RETRY,
                timeout=CALL_DEADLINE_SECONDS,
            )
            ids.extend(response.message_ids)
        return ids

    def _pull_dead_letters(self, maximum: int) -> Iterator[DeadLetterMessage]:
        for delivery in self._deliveries(self.dead_letter_subscription, maximum, 64_000_000, 2.0):
            attributes = delivery.message.attributes
            yield DeadLetterMessage(
                message=_received(delivery),
                reason=attributes.get(REASON_ATTRIBUTE, "max_delivery_attempts"),
                detail=attributes.get(
                    DETAIL_ATTRIBUTE, "never settled by the sensor; forwarded by Pub/Sub"
                ),
                source_message_id=attributes.get(
                    SOURCE_MESSAGE_ATTRIBUTE, delivery.message.message_id
                ),
                publish_time=delivery.message.publish_time.ToDatetime(UTC),
            )

    def _deliveries(
        self, subscription: str, maximum_messages: int, maximum_bytes: int, wait_seconds: float
    ) -> list[Any]:
        """Return what protobuf decoded, each a google.pubsub.v1.ReceivedMessage.

        The types of proto-plus wrap each field at each look, which takes as long as the call.
        """
        deliveries: list[Any] = []
        size = 0
        until = time.monotonic() + LONGEST_PULL_SECONDS
        while (
            len(deliveries) < maximum_messages and size < maximum_bytes and time.monotonic() < until
        ):
            try:
                response = self._subscriber.pull(
                    subscription=subscription,
                    max_messages=min(maximum_messages - len(deliveries), 1_000),
                    # The next tick pulls again; waiting longer would outlast this one.
                    retry=RETRY.with_timeout(wait_seconds),
                    timeout=wait_seconds,
                )
            except (exceptions.DeadlineExceeded, exceptions.RetryError) as error:
                if isinstance(error, exceptions.RetryError) and not isinstance(
                    error.cause, exceptions.DeadlineExceeded
                ):
                    raise
                break
            decoded = types.PullResponse.pb(response).received_messages
            if not decoded:
                break
            deliveries.extend(decoded)
            size += sum(len(item.message.data) for item in decoded)
        return deliveries


def _dead_letter_attributes(
    message: ReceivedMessage, reason: str, detail: str, source_subscription: str
) -> dict[str, str]:
    room = MOST_ATTRIBUTES - len(_OWN_ATTRIBUTES)
    kept = [(k, v) for k, v in message.attributes.items() if k not in _OWN_ATTRIBUTES][:room]
    return {
        **dict(kept),
        REASON_ATTRIBUTE: reason,
        DETAIL_ATTRIBUTE: _shortened(detail),
        SOURCE_MESSAGE_ATTRIBUTE: message.message_id,
        SOURCE_SUBSCRIPTION_ATTRIBUTE: source_subscription,
    }


def _received(delivery: Any) -> ReceivedMessage:
    message = delivery.message
    attributes = message.attributes
    return ReceivedMessage(
        message_id=message.message_id,
        ack_id=delivery.ack_id,
        data=message.data,
        attributes=dict(attributes) if attributes else _NO_ATTRIBUTES,
    )


def _shortened(text: str) -> str:
    return text.encode()[:LONGEST_ATTRIBUTE].decode(errors="ignore")


def _ignore_existing(create: Callable[[], object]) -> None:
    try:
        create()
    except exceptions.AlreadyExists:
        return


def _in_parts(ack_ids: Sequence[str], call: Callable[[list[str]], object]) -> None:
    """Make calls with all ack ids, several calls at once where one has not room for all.

    Where a call fails, the others have been made as well: each part is settled for itself.
    """
    parts = list(_parts(ack_ids, ACK_IDS_PER_CALL))
    if len(parts) <= 1:
        for part in parts:
            _without_invalid(part, call)
        return
    with ThreadPoolExecutor(CONCURRENT_CALLS) as pool:
        for done in [pool.submit(_without_invalid, part, call) for part in parts]:
            done.result()


def _without_invalid(ack_ids: list[str], call: Callable[[list[str]], object]) -> None:
    """Make a call with ack ids, and leave out those that the server does not know.

    One such id, of a subscription that was made anew say, fails the whole call. There is nothing
    to do for it: what it stood for is delivered again, if it is still there.
    """
    try:
        call(ack_ids)
    except exceptions.InvalidArgument:
        if len(ack_ids) > 1:
            middle = len(ack_ids) // 2
            _without_invalid(ack_ids[:middle], call)
            _without_invalid(ack_ids[middle:], call)


def _parts(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _parts_by_size(
    messages: Sequence[tuple[bytes, Mapping[str, str]]], most: int, most_bytes: int
) -> Iterator[list[tuple[bytes, Mapping[str, str]]]]:
    part: list[tuple[bytes, Mapping[str, str]]] = []
    size = 0
    for message in messages:
        length = len(message[0])
        if part and (len(part) == most or size + length > most_bytes):
            yield part
            part, size = [], 0
        part.append(message)
        size += length
    if part:
        yield part
