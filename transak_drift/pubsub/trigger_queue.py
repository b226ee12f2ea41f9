"""The trigger topic, its subscription and its dead letters, through the real Pub/Sub client.

Source of what is done on subscriptions with exactly-once delivery: Cloud Pub/Sub documentation,
"Exactly-once delivery".
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from google.api_core import exceptions
from google.pubsub_v1 import SubscriberClient, types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import subscription_name, topic_name
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import CALL_OPTIONS, RETRY, PubSubClients, pubsub_errors
from transak_drift.pubsub.dead_letters import (
    DeadLetterMessage,
    dead_letter,
    publish_batches,
    read_dead_letter,
    received_message,
    reduced,
    replayed_message,
)
from transak_drift.trigger.message import ReceivedMessage

_log = logging.getLogger(__name__)

# As Terraform creates the trigger subscription.
ACK_DEADLINE_SECONDS = 60
RETENTION_SECONDS = 7 * 24 * 3600
# The sensor forwards bad messages itself, so the server's own dead-lettering is only the last
# resort for a message that nobody ever settles.
MAX_DELIVERY_ATTEMPTS = 100
_PUBLISHER = "roles/pubsub.publisher"
_MAX_PULL_SECONDS = 20.0
_PAGE_WAIT_SECONDS = 2.0
_MAX_PULL_MESSAGES = 1_000
_MAX_ACK_IDS = 1_000
_SUBSCRIBER = "roles/pubsub.subscriber"
_CONCURRENT_CALLS = 4
_REFUSAL = "EXACTLY_ONCE_ACKID_FAILURE"
_TRANSIENT = "TRANSIENT_"
_MAX_CALLS = 6
_FIRST_PAUSE_SECONDS = 0.1
# What a subscription names as its topic once that topic has been deleted.
_DELETED_TOPIC = "_deleted-topic_"


class Subscription:
    """A subscription; its methods raise `PlatformError` where Pub/Sub refuses or is silent."""

    def __init__(self, client: SubscriberClient, name: str) -> None:
        self._client = client
        self.name = name
        self._pool = ThreadPoolExecutor(_CONCURRENT_CALLS)
        self._settling: list[Future[None]] = []

    def attached_topic(self) -> str | None:
        """Return the topic of the subscription, None: there is no such subscription."""
        try:
            return self._client.get_subscription(subscription=self.name, **CALL_OPTIONS).topic
        except exceptions.NotFound:
            return None

    def deliveries(
        self,
        wait_seconds: float,
        max_messages: int = sys.maxsize,
        max_bytes: int = sys.maxsize,
        max_seconds: float = math.inf,
    ) -> Generator[Any]:
        """Pull until nothing is left, or a bound is reached; see `TriggerQueue.pull`.

        They are what protobuf decoded, google.pubsub.v1.ReceivedMessage: the types of proto-plus
        wrap each field at each look, which takes as long as the call. A page is pulled while the
        last one is looked at; closed early, it gives back what it has not handed out.
        """
        until = time.monotonic() + max_seconds

        def pull_next() -> Future[Any] | None:
            if max_messages <= 0 or max_bytes <= 0 or time.monotonic() >= until:
                return None
            wanted = min(max_messages, _MAX_PULL_MESSAGES)
            return self._pool.submit(self._pull_once, wanted, wait_seconds)

        pending = pull_next()
        rest: Iterator[Any] = iter(())
        try:
            while pending is not None and (page := pending.result()).received_messages:
                max_messages -= len(page.received_messages)
                max_bytes -= sum(len(item.message.data) for item in page.received_messages)
                pending = pull_next()
                rest = iter(page.received_messages)
                yield from rest
            pending = None
        finally:
            unused = [item.ack_id for item in rest]
            if pending is not None and not pending.exception():
                unused += [item.ack_id for item in pending.result().received_messages]
            self.release(unused)

    def start_acknowledging(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge deliveries; an expired ack id is no error, the message comes again.

        What one call has room for is acknowledged on return; more of them are acknowledged in the
        background, for which `finish` waits.
        """
        self._start_settling(self._client.acknowledge, types.AcknowledgeRequest, ack_ids)

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge deliveries, as `start_acknowledging`, and wait until that is done."""
        self.start_acknowledging(ack_ids)
        self.finish()

    def release(self, ack_ids: Sequence[str]) -> None:
        """Give deliveries back, so that their messages are delivered again at once."""
        method, request = self._client.modify_ack_deadline, types.ModifyAckDeadlineRequest
        self._start_settling(method, request, ack_ids, ack_deadline_seconds=0)
        self.finish()

    def finish(self) -> None:
        """Wait until all is settled that can be, then raise what went wrong."""
        settling, self._settling = self._settling, []
        wait(settling)
        for future in settling:
            future.result()

    def _pull_once(self, max_messages: int, wait_seconds: float) -> Any:
        with pubsub_errors(self.name, _SUBSCRIBER):
            try:
                response = self._client.pull(
                    subscription=self.name,
                    max_messages=max_messages,
                    # The caller pulls again later; waiting longer would outlast its tick.
                    retry=RETRY.with_timeout(wait_seconds),
                    timeout=wait_seconds,
                )
            except (exceptions.DeadlineExceeded, exceptions.RetryError) as error:
                cause = getattr(error, "cause", error)
                if not isinstance(cause, exceptions.DeadlineExceeded):
                    raise
                response = types.PullResponse()
        return types.PullResponse.pb(response)

    def _start_settling(
        self, method: Callable[..., object], request: Any, ack_ids: Sequence[str], **settings: int
    ) -> None:
        def call(ack_ids: list[str]) -> None:
            # As with pulled messages: proto-plus alone takes a quarter of the call's time.
            message = request.pb()(subscription=self.name, ack_ids=ack_ids, **settings)
            method(request=request.wrap(message), **CALL_OPTIONS)

        distinct = list(dict.fromkeys(ack_ids))
        parts = [distinct[at : at + _MAX_ACK_IDS] for at in range(0, len(distinct), _MAX_ACK_IDS)]

        def settle(part: list[str]) -> None:
            with pubsub_errors(self.name, _SUBSCRIBER):
                _settle(part, call)

        if len(parts) == 1:
            settle(parts[0])
            return
        # Where one fails the others are made as well: each part is settled for itself.
        self._settling += [self._pool.submit(settle, part) for part in parts]


class Replay(NamedTuple):
    """The ids of what was published again, and those asked for that are no dead letter's."""

    published: list[str]
    missing: list[str]


class TriggerQueue(Subscription):
    """The trigger subscription of a monitored model, with its topic and its dead letters."""

    def __init__(self, clients: PubSubClients, config: MonitoringConfig) -> None:
        project = config.project_id
        self.topic = topic_name(project, config.trigger_topic)
        self.subscription = subscription_name(project, config.trigger_subscription)
        self.dead_letter_topic = topic_name(project, config.dead_letter_topic)
        self.dead_letter_subscription = subscription_name(project, config.dead_letter_subscription)
        super().__init__(clients.subscriber, self.subscription)
        self.clients = clients
        self._dead_letters = Subscription(clients.subscriber, self.dead_letter_subscription)

    def ensure_exists(self) -> None:
        """Create the topics and subscriptions that do not exist, as Terraform does on gcp.

        A subscription whose topic was deleted receives nothing more, also once there is a topic of
        that name again: it is replaced, and what it still held is published to the new topic.
        """
        policy = types.DeadLetterPolicy(
            dead_letter_topic=self.dead_letter_topic, max_delivery_attempts=MAX_DELIVERY_ATTEMPTS
        )
        # The dead-letter policy needs its topic.
        self._ensure(self._dead_letters, self.dead_letter_topic, None)
        self._ensure(self, self.topic, policy)

    def publish(self, body: bytes) -> str:
        """Publish a message to the trigger topic; returns its id, once the server holds it."""
        return self.publish_many([body])[0]

    def publish_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Publish messages to the trigger topic in as few calls as their size allows."""
        return self._publish(self.topic, [types.PubsubMessage.pb()(data=body) for body in bodies])

    def pull(
        self, maximum_messages: int, maximum_bytes: int, wait_seconds: float
    ) -> Iterator[ReceivedMessage]:
        """Pull until nothing is left, or a bound is reached; for 20 seconds at most.

        No further call once so many bytes were pulled. A call waits for `wait_seconds`, 2 or more:
        one that is given up while its answer is on the way leaves messages leased to nobody.
        Raises `PlatformError` also where nothing will ever come, since the topic was deleted.
        """
        bounds = (maximum_messages, maximum_bytes, _MAX_PULL_SECONDS)
        is_empty = True
        for delivery in self.deliveries(wait_seconds, *bounds):
            is_empty = False
            yield received_message(delivery)
        # Where the pull went well, looking at the subscription may need another permission.
        with suppress(exceptions.GoogleAPICallError, exceptions.RetryError):
            if is_empty and self.attached_topic() == _DELETED_TOPIC:
                raise PlatformError(
                    f"{self.topic} was deleted: {self.subscription} is detached from it and "
                    "receives no message any more, also once the topic is there again. Run "
                    "`terraform apply` in terraform/, which creates both again"
                )

    def publish_dead_letters(
        self,
        letters: Sequence[tuple[ReceivedMessage, str, str]],
        source_subscription: str | None = None,
    ) -> list[str]:
        """Publish rejected messages to the dead-letter topic and acknowledge nothing.

        A letter is the message, the reason and the detail. One that the server refuses holds up no
        other: it is published again with the beginning of its body and its own attributes alone.
        They come from the trigger subscription unless another is named. Returns their ids in order.
        """
        source = source_subscription or self.subscription
        messages = [dead_letter(*letter, source) for letter in letters]
        return self._publish(self.dead_letter_topic, messages, reduces_refused=True)

    def list_dead_letters(self, maximum: int | None = None) -> list[DeadLetterMessage]:
        """Look at dead letters, oldest first and at most `maximum`, and leave them there."""
        return [x for page in self._dead_letter_pages(maximum) for x in page.values()]

    def replay_dead_letters(
        self, maximum: int | None = None, source_message_ids: Sequence[str] | None = None
    ) -> Replay:
        """Publish dead letters to the trigger topic again, then take them out.

        At most `maximum` are looked at; with ids, only those rejected messages are taken.
        """
        missing = dict.fromkeys(source_message_ids or ())
        wanted = None if source_message_ids is None else set(missing)
        published: list[str] = []
        with closing(self._dead_letter_pages(maximum)) as pages:
            for page in pages:
                chosen = [
                    letter
                    for letter in page.values()
                    if wanted is None or letter.source_message_id in wanted
                ]
                published += self._publish(self.topic, [replayed_message(x) for x in chosen])
                self._dead_letters.acknowledge([x.message.ack_id for x in chosen])
                for letter in chosen:
                    del page[letter.message.message_id]
                    missing.pop(letter.source_message_id, None)
                if wanted is not None and not missing:
                    break
        return Replay(published, list(missing))

    def close(self) -> None:
        """Close the clients."""
        self.clients.close()

    def _ensure(
        self, subscription: Subscription, topic: str, policy: types.DeadLetterPolicy | None
    ) -> None:
        name, (publisher, subscriber) = subscription.name, self.clients
        with pubsub_errors(name, "roles/pubsub.editor"):
            found = subscription.attached_topic()
            if found == topic:
                return
            if found not in (None, _DELETED_TOPIC):
                raise PlatformError(
                    f"{name} is a subscription of {found}, not of {topic}: name another "
                    "subscription in the configuration, or delete this one"
                )
            waiting = []
            if found == _DELETED_TOPIC:
                waiting = [item.message for item in subscription.deliveries(_PAGE_WAIT_SECONDS)]
                if subscription.attached_topic() != _DELETED_TOPIC:
                    # Another process was faster.
                    return
                with suppress(exceptions.NotFound):
                    subscriber.delete_subscription(subscription=name, **CALL_OPTIONS)
            with suppress(exceptions.AlreadyExists):
                publisher.create_topic(name=topic, **CALL_OPTIONS)
            wanted = types.Subscription(
                name=name,
                topic=topic,
                ack_deadline_seconds=ACK_DEADLINE_SECONDS,
                message_retention_duration=timedelta(seconds=RETENTION_SECONDS),
                dead_letter_policy=policy,
            )
            with suppress(exceptions.AlreadyExists):
                subscriber.create_subscription(request=wanted, **CALL_OPTIONS)
        if found == _DELETED_TOPIC:
            self._publish(topic, waiting)
            _log.warning(
                f"{topic} had been deleted, so that {name} received nothing more: both were "
                f"created again, and {len(waiting)} waiting messages published to the new topic; "
                "a message that was published in between is lost"
            )

    def _publish(
        self, topic: str, messages: Sequence[Any], *, reduces_refused: bool = False
    ) -> list[str]:
        with pubsub_errors(topic, _PUBLISHER):
            return [
                message_id
                for batch in publish_batches(messages)
                for message_id in self._publish_batch(topic, batch, reduces_refused)
            ]

    def _publish_batch(self, topic: str, batch: list[Any], reduces_refused: bool) -> list[str]:
        publish = self.clients.publisher.publish
        try:
            return list(publish(topic=topic, messages=batch, **CALL_OPTIONS).message_ids)
        except exceptions.InvalidArgument:
            if not reduces_refused:
                raise
        if len(batch) == 1:
            return self._publish_batch(topic, [reduced(batch[0])], False)
        middle = len(batch) // 2
        halves = (batch[:middle], batch[middle:])
        return [i for half in halves for i in self._publish_batch(topic, half, True)]

    def _dead_letter_pages(self, maximum: int | None) -> Generator[dict[str, DeadLetterMessage]]:
        """Pull dead letters by id; what the caller leaves in the pages is given back at the end."""
        kept: dict[str, DeadLetterMessage] = {}
        page: dict[str, DeadLetterMessage] = {}
        seen: set[str] = set()
        deliveries = self._dead_letters.deliveries(_PAGE_WAIT_SECONDS, maximum or sys.maxsize)
        try:
            while pulled := list(islice(deliveries, _MAX_PULL_MESSAGES)):
                page = {item.message.message_id: read_dead_letter(item) for item in pulled}
                # One whose lease ends while the others are read comes again: also where it was
                # taken out under an ack id that had expired.
                again = {key: page.pop(key) for key in seen & page.keys()}
                taken_out = again.keys() - kept.keys()
                self._dead_letters.acknowledge([again.pop(key).message.ack_id for key in taken_out])
                kept |= again
                seen |= page.keys()
                yield page
                kept |= page
        finally:
            deliveries.close()
            self._dead_letters.release([x.message.ack_id for x in (kept | page).values()])


def _settle(ack_ids: list[str], call: Callable[[list[str]], None]) -> None:
    left = ack_ids
    refused_for_now: list[str] = []
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_MAX_CALLS):
        try:
            call(left)
            left = []
        except exceptions.GoogleAPICallError as error:
            # Why, by ack id: PERMANENT_FAILURE_INVALID_ACK_ID or a TRANSIENT_FAILURE_...
            refused = (error.metadata or {}) if error.reason == _REFUSAL else {}
            if not refused.keys() & set(left):
                raise
            refused_for_now += [i for i in left if refused.get(i, "").startswith(_TRANSIENT)]
            # Whether the ids that the error does not name were settled is not documented: they are
            # sent again. Those that were, the server takes a second time, or it names them.
            left = [ack_id for ack_id in left if ack_id not in refused]
        if not left:
            if not refused_for_now:
                return
            time.sleep(pause)
            pause *= 2
            left, refused_for_now = refused_for_now, []
    _log.warning("Pub/Sub still refuses %d ack ids: their messages come again", len(left))
