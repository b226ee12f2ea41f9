"""One subscription: pull, acknowledge, give back; also with exactly-once delivery.

Source: Cloud Pub/Sub documentation, "Exactly-once delivery".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
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

    def pages(
        self, max_messages: int, max_bytes: int, wait_seconds: float
    ) -> Iterator[Sequence[Any]]:
        """Pull until nothing is left, or a bound is reached; see `TriggerQueue.pull`.

        The next page is under way while the caller works on one. The messages are what protobuf
        decoded, google.pubsub.v1.ReceivedMessage: the types of proto-plus wrap each field at each
        look, which takes as long as the call.
        """
        until = time.monotonic() + MAX_PULL_SECONDS
        with ThreadPoolExecutor(1) as pool:

            def pull_next() -> Future[Any] | None:
                if max_messages <= 0 or max_bytes <= 0 or time.monotonic() >= until:
                    return None
                wanted = min(max_messages, MAX_PULL_MESSAGES)
                return pool.submit(self._pull_once, wanted, wait_seconds)

            pending = pull_next()
            while pending is not None:
                response = pending.result()
                page = response.received_messages
                if not page:
                    return
                max_messages -= len(page)
                max_bytes -= response.ByteSize()
                pending = pull_next()
                yield page

    def start_acknowledging(self, ack_ids: Sequence[str]) -> list[Future[None]]:
        """Acknowledge deliveries; an expired ack id is no error, the message comes again.

        What one call has room for is acknowledged on return, more of them in the background.
        """
        return self._settle(
            ack_ids,
            lambda part: self._client.acknowledge(
                subscription=self.name, ack_ids=part, retry=RETRY, timeout=CALL_SECONDS
            ),
        )

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge deliveries, as `start_acknowledging`, and wait until that is done."""
        finish(self.start_acknowledging(ack_ids))

    def set_ack_deadline(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Let the leases of deliveries end so many seconds from now; 0 gives them back."""
        finish(
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
        )

    def _pull_once(self, max_messages: int, wait_seconds: float) -> Any:
        with pubsub_errors(self.name, _ROLE):
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

    def _settle(
        self, ack_ids: Sequence[str], call: Callable[[list[str]], object]
    ) -> list[Future[None]]:
        distinct = list(dict.fromkeys(ack_ids))
        parts = [
            distinct[start : start + MAX_ACK_IDS] for start in range(0, len(distinct), MAX_ACK_IDS)
        ]

        def settle(part: list[str]) -> None:
            with pubsub_errors(self.name, _ROLE):
                _settle_part(part, call)

        if len(parts) == 1:
            settle(parts[0])
            return []
        pool = ThreadPoolExecutor(_CONCURRENT_CALLS)
        # Where one fails the others are made as well: each part is settled for itself.
        futures = [pool.submit(settle, part) for part in parts]
        pool.shutdown(wait=False)
        return futures


def finish(settling: Sequence[Future[None]]) -> None:
    """Wait until all is settled that can be, then raise what went wrong."""
    wait(settling)
    for future in settling:
        future.result()


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
