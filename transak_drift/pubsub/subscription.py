"""One subscription: pull, acknowledge, give back; also with exactly-once delivery.

Source: Cloud Pub/Sub documentation, "Exactly-once delivery".
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import SubscriberClient, types

from transak_drift.pubsub.connection import CALL_OPTIONS, RETRY, pubsub_errors

_log = logging.getLogger(__name__)

MAX_PULL_MESSAGES = 1_000
DELETED_TOPIC = "_deleted-topic_"
"""What a subscription names as its topic once that topic has been deleted."""

_MAX_ACK_IDS = 1_000
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
            wanted = min(max_messages, MAX_PULL_MESSAGES)
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
            with pubsub_errors(self.name, _ROLE):
                _settle(part, call)

        if len(parts) == 1:
            settle(parts[0])
            return
        # Where one fails the others are made as well: each part is settled for itself.
        self._settling += [self._pool.submit(settle, part) for part in parts]


def _settle(ack_ids: list[str], call: Callable[[list[str]], None]) -> None:
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
    _log.warning("Pub/Sub still refuses %d ack ids: their messages come again", len(left))


def _refused_ids(error: exceptions.GoogleAPICallError) -> Mapping[str, str]:
    """Return why, by ack id: PERMANENT_FAILURE_INVALID_ACK_ID or a TRANSIENT_FAILURE_..."""
    return error.metadata or {} if error.reason == _REFUSAL else {}
