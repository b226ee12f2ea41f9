"""The google.pubsub.v1.Publisher service: topics and publishing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import grpc
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.limits import (
    check_publish_request,
    check_topic,
    page_size,
    require_project_name,
    require_resource_name,
)
from transak_drift.local.pubsub_server.rpc import Context, service_handler
from transak_drift.local.pubsub_server.storage import Storage


class Publisher:
    """Methods of the service.

    Args:
        storage: where topics and messages are kept.
        announce: is called with the subscriptions that have new messages.
    """

    def __init__(self, storage: Storage, announce: Callable[[Iterable[str]], None]) -> None:
        self._storage = storage
        self._announce = announce

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler to register with a gRPC server."""
        return service_handler(
            "google.pubsub.v1.Publisher",
            {
                "CreateTopic": (self.create_topic, types.Topic),
                "GetTopic": (self.get_topic, types.GetTopicRequest),
                "ListTopics": (self.list_topics, types.ListTopicsRequest),
                "DeleteTopic": (self.delete_topic, types.DeleteTopicRequest),
                "Publish": (self.publish, types.PublishRequest),
            },
        )

    async def create_topic(self, request: types.Topic, _: Context) -> types.Topic:
        """Create a topic."""
        check_topic(request)
        await self._storage.run(self._storage.create_topic, request)
        return request

    async def get_topic(self, request: types.GetTopicRequest, _: Context) -> types.Topic:
        """Return a topic."""
        name = require_resource_name(request.topic, "topics")
        return await self._storage.run(self._storage.get_topic, name)

    async def list_topics(
        self, request: types.ListTopicsRequest, _: Context
    ) -> types.ListTopicsResponse:
        """Return a page of a project's topics, by name."""
        topics, next_token = await self._storage.run(
            self._storage.list_topics,
            require_project_name(request.project),
            request.page_token,
            page_size(request.page_size),
        )
        return types.ListTopicsResponse(topics=topics, next_page_token=next_token)

    async def delete_topic(self, request: types.DeleteTopicRequest, _: Context) -> None:
        """Delete a topic; its subscriptions keep their backlog."""
        name = require_resource_name(request.topic, "topics")
        await self._storage.run(self._storage.delete_topic, name)

    async def publish(self, request: types.PublishRequest, _: Context) -> types.PublishResponse:
        """Store messages durably, then answer with their ids."""
        name = require_resource_name(request.topic, "topics")
        check_publish_request(request)
        contents: list[bytes] = []
        for message in types.PublishRequest.pb(request).messages:
            # Both are the server's to give, whatever the publisher wrote into them.
            message.ClearField("message_id")
            message.ClearField("publish_time")
            contents.append(message.SerializeToString())
        message_ids, subscriptions = await self._storage.run(self._storage.publish, name, contents)
        self._announce(subscriptions)
        return types.PublishResponse(message_ids=[str(number) for number in message_ids])
