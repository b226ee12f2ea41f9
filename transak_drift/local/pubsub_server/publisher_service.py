"""The google.pubsub.v1.Publisher service."""

from __future__ import annotations

import grpc
from google.pubsub_v1 import types

from transak_drift.local.pubsub_server.announcements import Announcements
from transak_drift.local.pubsub_server.generic_handler import (
    service_handler,
    unary_handler,
)
from transak_drift.local.pubsub_server.message_limits import check_publish_request
from transak_drift.local.pubsub_server.page import page_limit, split_page
from transak_drift.local.pubsub_server.resource_name import (
    require_project_name,
    require_resource_name,
)
from transak_drift.local.pubsub_server.storage import Storage
from transak_drift.local.pubsub_server.topic_settings import change_topic, check_topic

SERVICE_NAME = "google.pubsub.v1.Publisher"


class PublisherService:
    """Topics and publishing.

    Args:
        storage: where topics and messages are kept.
        arrivals: told of the subscriptions that have new messages.
    """

    def __init__(self, storage: Storage, arrivals: Announcements) -> None:
        self._storage = storage
        self._arrivals = arrivals

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler to register with a gRPC server."""
        return service_handler(
            SERVICE_NAME,
            {
                "CreateTopic": unary_handler(self.create_topic, types.Topic),
                "GetTopic": unary_handler(self.get_topic, types.GetTopicRequest),
                "UpdateTopic": unary_handler(self.update_topic, types.UpdateTopicRequest),
                "ListTopics": unary_handler(self.list_topics, types.ListTopicsRequest),
                "ListTopicSubscriptions": unary_handler(
                    self.list_topic_subscriptions, types.ListTopicSubscriptionsRequest
                ),
                "DeleteTopic": unary_handler(self.delete_topic, types.DeleteTopicRequest),
                "Publish": unary_handler(self.publish, types.PublishRequest),
            },
        )

    async def create_topic(
        self, request: types.Topic, context: grpc.aio.ServicerContext
    ) -> types.Topic:
        """Create a topic."""
        require_resource_name(request.name, "topics")
        return await self._storage.run(self._storage.topics.create, check_topic(request))

    async def get_topic(
        self, request: types.GetTopicRequest, context: grpc.aio.ServicerContext
    ) -> types.Topic:
        """Return a topic."""
        name = require_resource_name(request.topic, "topics")
        return await self._storage.run(self._storage.topics.get, name)

    async def update_topic(
        self, request: types.UpdateTopicRequest, context: grpc.aio.ServicerContext
    ) -> types.Topic:
        """Change a topic's labels or message retention."""
        name = require_resource_name(request.topic.name, "topics")

        def update() -> types.Topic:
            present = self._storage.topics.get(name)
            changed = change_topic(present, request.topic, list(request.update_mask.paths))
            return self._storage.topics.replace(changed)

        return await self._storage.run(update)

    async def list_topics(
        self, request: types.ListTopicsRequest, context: grpc.aio.ServicerContext
    ) -> types.ListTopicsResponse:
        """Return a page of a project's topics, by name."""
        project = require_project_name(request.project)
        limit = page_limit(request.page_size)
        topics = await self._storage.run(
            self._storage.topics.list_after, project, request.page_token, limit + 1
        )
        return types.ListTopicsResponse(
            topics=topics[:limit],
            next_page_token=split_page([topic.name for topic in topics], limit),
        )

    async def list_topic_subscriptions(
        self, request: types.ListTopicSubscriptionsRequest, context: grpc.aio.ServicerContext
    ) -> types.ListTopicSubscriptionsResponse:
        """Return a page of the names of a topic's subscriptions."""
        topic = require_resource_name(request.topic, "topics")
        limit = page_limit(request.page_size)

        def names_after() -> list[str]:
            self._storage.topics.get(topic)
            return self._storage.subscriptions.list_names_of_topic(
                topic, request.page_token, limit + 1
            )

        names = await self._storage.run(names_after)
        return types.ListTopicSubscriptionsResponse(
            subscriptions=names[:limit], next_page_token=split_page(names, limit)
        )

    async def delete_topic(
        self, request: types.DeleteTopicRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Delete a topic; its subscriptions keep their backlog."""
        name = require_resource_name(request.topic, "topics")
        await self._storage.run(self._storage.topics.delete, name)

    async def publish(
        self, request: types.PublishRequest, context: grpc.aio.ServicerContext
    ) -> types.PublishResponse:
        """Store messages durably, then answer with their ids."""
        name = require_resource_name(request.topic, "topics")
        check_publish_request(request)
        contents: list[bytes] = []
        for message in types.PublishRequest.pb(request).messages:
            # Both are the server's to give, whatever the publisher wrote into them.
            message.ClearField("message_id")
            message.ClearField("publish_time")
            contents.append(message.SerializeToString())
        publication = await self._storage.run(self._storage.messages.publish, name, contents)
        self._arrivals.announce(publication.subscription_names)
        return types.PublishResponse(
            message_ids=[str(number) for number in publication.message_ids]
        )
