"""One subscription: pull, acknowledge, give back; also with exactly-once delivery.

Source: Cloud Pub/Sub documentation, "Exactly-once delivery".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import SubscriberClient, types

from transak_drift.pubsub.connection import CALL_SECONDS, RETRY, pubsub_errors

_log = logging.getLogger(__name__)

MAX_PULL_SECONDS = 20.0
MAX_PULL_MESSAGES = 1_000
MAX_ACK_IDS = 1_000
DELETED_TOPIC = "_deleted-topic_"
"""What a subscription names as its topic once that topic has been deleted."""

_ROLE = "roles/pubsub.subscriber"
_CONCURRENT_CALLS = 4
_REFUSAL = "EXACTLY_ONCE_ACKID_FAILURE"
_TRANSIENT = "TRANSIENT_"
_MAX_CALLS = 6
_FIRST_PAUSE_SECONDS = 0.1


class Subscription:
    """A subscription of which messages are pulled.

    Its methods raise `PlatformError` where Pub/Sub refuses a call or does not answer.

    Args:
        client: the connected client.
        name: resource name of the subscription.
    """

    def __init__(self, client: SubscriberClient, name: str) -> None:
        self._client = client
        self.name = name

    def topic(self) -> str | None:
        """Return the topic that it is attached to, None: there is no such subscription.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: it cannot be looked at.
        """
        try:
            return self._client.get_subscription(
                subscription=self.name, retry=RETRY, timeout=CALL_SECONDS
            ).topic
        except exceptions.NotFound:
            return None

    def pull(self, max_messages: int, max_bytes: int, wait_seconds: float) -> list[Any]:
        """Pull until nothing is left, or a bound is reached; for 20 seconds at most.

        Args:
            max_messages: at most so many messages.
            max_bytes: no further call once so many bytes were pulled.
            wait_seconds: how long a call waits for a message.

        Returns:
            What protobuf decoded, each a google.pubsub.v1.ReceivedMessage: the types of proto-plus
            wrap each field at each look, which takes as long as the call.
        """
        deliveries: list[Any] = []
        size = 0
        until = time.monotonic() + MAX_PULL_SECONDS
        while len(deliveries) < max_messages and size < max_bytes and time.monotonic() < until:
            decoded = self._pull_once(
                min(max_messages - len(deliveries), MAX_PULL_MESSAGES), wait_seconds
            )
            if not decoded:
                break
            deliveries.extend(decoded)
            size += sum(len(item.message.data) for item in decoded)
        return deliveries

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge deliveries; an expired ack id is no error, the message comes again."""
        self._settle(
            ack_ids,
            lambda part: self._client.acknowledge(
                subscription=self.name, ack_ids=part, retry=RETRY, timeout=CALL_SECONDS
            ),
        )

    def set_ack_deadline(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Let the leases of deliveries end so many seconds from now; 0 gives them back."""
        self._settle(
            ack_ids,
            lambda part: self._client.modify_ack_deadline(
                subscription=self.name,
                ack_ids=part,
                ack_deadline_seconds=seconds,
                retry=RETRY,
                timeout=CALL_SECONDS,
            ),
        )

    def _pull_once(self, max_messages: int, wait_seconds: float) -> Sequence[Any]:
        with pubsub_errors(self.name, _ROLE):
            try:
                response = self._client.pull(
                    subscription=self.name,
                    max_messages=max_messages,
                    # The caller pulls again later; waiting longer would outlast its tick.
                    retry=RETRY.with_timeout(wait_seconds),
                    timeout=wait_seconds,
                )
            except exceptions.DeadlineExceeded:
                return []
            except exceptions.RetryError as error:
                if isinstance(error.cause, exceptions.DeadlineExceeded):
                    return []
                raise
        return types.PullResponse.pb(response).received_messages

    def _settle(self, ack_ids: Sequence[str], call: Callable[[list[str]], object]) -> None:
        """Make a call for all ack ids, several calls at once where one has not room for all.

        Where one fails the others have been made as well: each part is settled for itself.
        """
        distinct = list(dict.fromkeys(ack_ids))
        parts = [
            distinct[start : start + MAX_ACK_IDS] for start in range(0, len(distinct), MAX_ACK_IDS)
        ]
        with pubsub_errors(self.name, _ROLE):
            if len(parts) <= 1:
                for part in parts:
                    _settle_part(part, call)
                return
            with ThreadPoolExecutor(_CONCURRENT_CALLS) as pool:
                for done in [pool.submit(_settle_part, part, call) for part in parts]:
                    done.result()


def _settle_part(ack_ids: list[str], call: Callable[[list[str]], object]) -> None:
    left = ack_ids
    refused_for_now: list[str] = []
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_MAX_CALLS):
        try:
            call(left)
            left = []
        except exceptions.GoogleAPICallError as error:
            refused = _refused_ids(error)
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
    _log.warning(
        "Pub/Sub still refuses %d ack ids after %d calls: their messages come again",
        len(left),
        _MAX_CALLS,
    )


def _refused_ids(error: exceptions.GoogleAPICallError) -> Mapping[str, str]:
    """Return why, by ack id: PERMANENT_FAILURE_INVALID_ACK_ID or a TRANSIENT_FAILURE_..."""
    return error.metadata or {} if error.reason == _REFUSAL else {}
