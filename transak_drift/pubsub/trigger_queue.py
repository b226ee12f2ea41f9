"""The trigger topic, its subscription and its dead letters, through the real Pub/Sub client."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import subscription_name, topic_name
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import CALL_SECONDS, RETRY, PubSubClients, pubsub_errors
from transak_drift.pubsub.dead_letters import (
    DeadLetterMessage,
    dead_letter,
    publish_batches,
    read_dead_letter,
    reduced,
    replayed_message,
)
from transak_drift.pubsub.subscription import (
    DELETED_TOPIC,
    MAX_PULL_MESSAGES,
    Subscription,
    finish,
)
from transak_drift.trigger.message import ACK_DEADLINE_SECONDS, ReceivedMessage

_log = logging.getLogger(__name__)

RETENTION_SECONDS = 7 * 24 * 3600
# The sensor forwards bad messages itself, so the server's own dead-lettering is only the last
# resort for a message that nobody ever settles.
MAX_DELIVERY_ATTEMPTS = 100
_PUBLISHER = "roles/pubsub.publisher"
_MAX_PAGE_BYTES = 64_000_000
_PAGE_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Replay:
    """The ids of what was published again, and those asked for that are no dead letter's."""

    published: list[str]
    missing: list[str]


class TriggerQueue:
    """The Pub/Sub side of the trigger of one monitored model.

    Its methods raise `PlatformError` where Pub/Sub refuses a call or does not answer.

    Args:
        clients: the connected clients.
        config: names the project, the topics and the subscriptions.
    """

    def __init__(self, clients: PubSubClients, config: MonitoringConfig) -> None:
        self._clients = clients
        self._publisher = clients.publisher
        self._subscriber = clients.subscriber
        project = config.project_id
        self.topic = topic_name(project, config.trigger_topic)
        self.subscription = subscription_name(project, config.trigger_subscription)
        self.dead_letter_topic = topic_name(project, config.dead_letter_topic)
        self.dead_letter_subscription = subscription_name(project, config.dead_letter_subscription)
        self._messages = Subscription(self._subscriber, self.subscription)
        self._dead_letters = Subscription(self._subscriber, self.dead_letter_subscription)
        self._settling: list[Future[None]] = []

    def ensure_exists(self) -> None:
        """Create the topics and subscriptions that do not exist, as Terraform does on gcp.

        A subscription whose topic was deleted receives nothing more, also once there is a topic of
        that name again: it is replaced, and what it still held is published to the new topic.
        """
        policy = types.DeadLetterPolicy(
            dead_letter_topic=self.dead_letter_topic, max_delivery_attempts=MAX_DELIVERY_ATTEMPTS
        )
        # The dead-letter policy needs its topic.
        for subscription, topic, dead_letter_policy in (
            (self._dead_letters, self.dead_letter_topic, None),
            (self._messages, self.topic, policy),
        ):
            wanted = types.Subscription(
                name=subscription.name,
                topic=topic,
                ack_deadline_seconds=ACK_DEADLINE_SECONDS,
                message_retention_duration=timedelta(seconds=RETENTION_SECONDS),
                dead_letter_policy=dead_letter_policy,
            )
            with pubsub_errors(wanted.name, "roles/pubsub.editor"):
                found = subscription.topic()
                if found is None:
                    self._create(wanted)
                elif found == DELETED_TOPIC:
                    self._replace(subscription, wanted)
                elif found != topic:
                    raise PlatformError(
                        f"{wanted.name} is a subscription of {found}, not of {topic}: name "
                        "another subscription in the configuration, or delete this one"
                    )

    def publish(self, body: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish a message to the trigger topic; returns its id, once the server holds it."""
        message = types.PubsubMessage.pb()(data=body, attributes=dict(attributes or {}))
        return self._publish(self.topic, [message])[0]

    def publish_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Publish messages to the trigger topic in as few calls as their size allows."""
        return self._publish(self.topic, [types.PubsubMessage.pb()(data=body) for body in bodies])

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

        Raises:
            PlatformError: also where nothing came and nothing ever will, since the topic of the
                subscription was deleted.
        """
        pages = self._messages.pages(maximum_messages, maximum_bytes, wait_seconds)
        messages = [message for page in pages for message in _received(page)]
        if not messages:
            self._require_topic()
        return messages

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge deliveries; an expired ack id is no error, the message comes again."""
        self._messages.acknowledge(ack_ids)

    def start_acknowledging(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge deliveries; many of them in the background, for which `finish` waits."""
        self._settling += self._messages.start_acknowledging(ack_ids)

    def finish(self) -> None:
        """Wait for what goes on in the background, and raise what went wrong."""
        settling, self._settling = self._settling, []
        finish(settling)

    def release(self, ack_ids: Sequence[str]) -> None:
        """Give deliveries back, so that their messages are delivered again at once."""
        self._messages.set_ack_deadline(ack_ids, 0)

    def publish_dead_letters(
        self,
        letters: Sequence[tuple[ReceivedMessage, str, str]],
        source_subscription: str | None = None,
    ) -> list[str]:
        """Publish rejected messages to the dead-letter topic and acknowledge nothing.

        A letter that the server refuses holds up no other: it is published again with the
        beginning of its body and without the attributes of the rejected message.

        Args:
            letters: for each the message, the reason and the detail.
            source_subscription: the subscription that delivered them; by default the trigger's
                own.

        Returns:
            Ids of the published messages, in order.
        """
        source = source_subscription or self.subscription
        messages = [dead_letter(*letter, source) for letter in letters]
        with pubsub_errors(self.dead_letter_topic, _PUBLISHER):
            return [
                message_id
                for batch in publish_batches(messages)
                for message_id in self._publish_letters(batch)
            ]

    def list_dead_letters(self, maximum: int | None = None) -> list[DeadLetterMessage]:
        """Look at dead letters, oldest first, and leave them where they are.

        At most `maximum` are looked at; their lease is given back at once.
        """
        letters: list[DeadLetterMessage] = []
        try:
            for page in self._dead_letter_pages(maximum):
                letters += page
        finally:
            self._dead_letters.set_ack_deadline([letter.message.ack_id for letter in letters], 0)
        return letters

    def replay_dead_letters(
        self, maximum: int | None = None, source_message_ids: Sequence[str] | None = None
    ) -> Replay:
        """Publish dead letters to the trigger topic again, then take them out.

        Args:
            maximum: look at so many dead letters at most, None: at all.
            source_message_ids: only these rejected messages, or None for all.
        """
        missing = dict.fromkeys(source_message_ids or ())
        wanted = None if source_message_ids is None else set(missing)
        published: list[str] = []
        leased: set[str] = set()
        try:
            for page in self._dead_letter_pages(maximum):
                leased.update(letter.message.ack_id for letter in page)
                chosen = [x for x in page if wanted is None or x.source_message_id in wanted]
                published += self._publish(self.topic, [replayed_message(x) for x in chosen])
                ack_ids = [letter.message.ack_id for letter in chosen]
                self._dead_letters.acknowledge(ack_ids)
                leased.difference_update(ack_ids)
                for letter in chosen:
                    missing.pop(letter.source_message_id, None)
                if wanted is not None and not missing:
                    break
        finally:
            self._dead_letters.set_ack_deadline(list(leased), 0)
        return Replay(published, list(missing))

    def close(self) -> None:
        """Close the clients."""
        self._clients.close()

    def _create(self, wanted: types.Subscription) -> None:
        with suppress(exceptions.AlreadyExists):
            self._publisher.create_topic(name=wanted.topic, retry=RETRY, timeout=CALL_SECONDS)
        with suppress(exceptions.AlreadyExists):
            self._subscriber.create_subscription(request=wanted, retry=RETRY, timeout=CALL_SECONDS)

    def _replace(self, subscription: Subscription, wanted: types.Subscription) -> None:
        waiting: list[ReceivedMessage] = []
        while pages := list(subscription.pages(10_000, _MAX_PAGE_BYTES, _PAGE_WAIT_SECONDS)):
            waiting += [message for page in pages for message in _received(page)]
        if subscription.topic() != DELETED_TOPIC:
            # Another process was faster.
            return
        with suppress(exceptions.NotFound):
            self._subscriber.delete_subscription(
                subscription=wanted.name, retry=RETRY, timeout=CALL_SECONDS
            )
        self._create(wanted)
        again = [types.PubsubMessage.pb()(data=m.data, attributes=m.attributes) for m in waiting]
        self._publish(wanted.topic, again)
        _log.warning(
            "%s had been deleted, so that %s received nothing more: both were created again, and "
            "%d waiting messages published to the new topic; a message that was published in "
            "between is lost",
            wanted.topic,
            wanted.name,
            len(waiting),
        )

    def _require_topic(self) -> None:
        try:
            topic = self._messages.topic()
        except (exceptions.GoogleAPICallError, exceptions.RetryError):
            # The pull went well, and looking at the subscription needs another permission.
            return
        if topic == DELETED_TOPIC:
            raise PlatformError(
                f"{self.topic} was deleted: {self.subscription} is detached from it and receives "
                "no message any more, also once the topic is there again. Run `terraform apply` in "
                "terraform/, which creates both again"
            )

    def _publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
        with pubsub_errors(topic, _PUBLISHER):
            return [
                message_id
                for batch in publish_batches(messages)
                for message_id in self._publish_batch(topic, batch)
            ]

    def _publish_batch(self, topic: str, batch: list[Any]) -> list[str]:
        response = self._publisher.publish(
            topic=topic, messages=batch, retry=RETRY, timeout=CALL_SECONDS
        )
        return list(response.message_ids)

    def _publish_letters(self, batch: list[Any]) -> list[str]:
        try:
            return self._publish_batch(self.dead_letter_topic, batch)
        except exceptions.InvalidArgument:
            if len(batch) == 1:
                return self._publish_batch(self.dead_letter_topic, [reduced(batch[0])])
        middle = len(batch) // 2
        return self._publish_letters(batch[:middle]) + self._publish_letters(batch[middle:])

    def _dead_letter_pages(self, maximum: int | None) -> Iterator[list[DeadLetterMessage]]:
        seen: set[str] = set()
        while maximum is None or len(seen) < maximum:
            wanted = min(MAX_PULL_MESSAGES, (maximum or sys.maxsize) - len(seen))
            pages = self._dead_letters.pages(wanted, _MAX_PAGE_BYTES, _PAGE_WAIT_SECONDS)
            letters = [
                read_dead_letter(message, item.message.publish_time.ToDatetime(UTC))
                for page in pages
                for item, message in zip(page, _received(page), strict=True)
                # One whose lease ended while the others were read comes twice.
                if message.message_id not in seen
            ]
            if not letters:
                return
            seen.update(letter.message.message_id for letter in letters)
            yield letters


def _received(page: Iterable[Any]) -> Iterator[ReceivedMessage]:
    for delivery in page:
        message = delivery.message
        attributes = message.attributes
        # Thousands of messages a tick have no attributes.
        further = (dict(attributes),) if attributes else ()
        yield ReceivedMessage(message.message_id, delivery.ack_id, message.data, *further)
