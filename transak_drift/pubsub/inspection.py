"""Looks at the trigger's topics and subscriptions, and at who may use them; changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.api_core import exceptions
from google.iam.v1 import iam_policy_pb2

from transak_drift.config.finding import Finding, gap, in_order, unknown
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import subscription_name, topic_name
from transak_drift.pubsub.connection import RETRY, PubSubClients

_CALL_SECONDS = 20.0
_APPLY = "run `terraform apply` in terraform/"
_PUBLISHER_ROLES = frozenset(
    {"roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin"}
)


def inspect_trigger_queue(
    clients: PubSubClients, config: MonitoringConfig, writer_identity: str | None
) -> list[Finding]:
    """Hold topics, subscriptions and their IAM against what the trigger needs.

    Args:
        clients: the connected clients.
        config: names them.
        writer_identity: IAM principal that the log sink publishes as, or None where there is no
            sink.

    Returns:
        One finding for each piece.
    """
    project = config.project_id
    topic = topic_name(project, config.trigger_topic)
    dead_letter_topic = topic_name(project, config.dead_letter_topic)
    return [
        _inspect_topic(clients, "trigger topic", topic),
        _inspect_subscription(
            clients,
            "trigger subscription",
            subscription_name(project, config.trigger_subscription),
            topic,
            dead_letter_topic,
        ),
        _inspect_topic(clients, "dead-letter topic", dead_letter_topic),
        _inspect_subscription(
            clients,
            "dead-letter subscription",
            subscription_name(project, config.dead_letter_subscription),
            dead_letter_topic,
            None,
        ),
        *_inspect_writer(clients, topic, writer_identity),
        _inspect_own_access(
            clients,
            "IAM on the trigger subscription",
            subscription_name(project, config.trigger_subscription),
            ["pubsub.subscriptions.consume"],
            "roles/pubsub.subscriber",
        ),
        _inspect_own_access(
            clients,
            "IAM on the dead-letter topic",
            dead_letter_topic,
            ["pubsub.topics.publish"],
            "roles/pubsub.publisher",
        ),
    ]


def _inspect_topic(clients: PubSubClients, piece: str, name: str) -> Finding:
    def look() -> Finding:
        clients.publisher.get_topic(topic=name, retry=RETRY, timeout=_CALL_SECONDS)
        return in_order(piece, name)

    return _looked_at(piece, name, "pubsub.topics.get", look)


def _inspect_subscription(
    clients: PubSubClients, piece: str, name: str, topic: str, dead_letter_topic: str | None
) -> Finding:
    def look() -> Finding:
        found = clients.subscriber.get_subscription(
            subscription=name, retry=RETRY, timeout=_CALL_SECONDS
        )
        faults = []
        if found.topic != topic:
            faults.append(f"it is of {found.topic}, not of {topic}")
        if found.push_config.push_endpoint:
            faults.append("it pushes, but the sensor pulls")
        if dead_letter_topic is not None:
            policy = found.dead_letter_policy.dead_letter_topic
            if policy != dead_letter_topic:
                faults.append(
                    f"its dead letters go {'to ' + policy if policy else 'nowhere'}, not to "
                    f"{dead_letter_topic}"
                )
        if found.filter:
            faults.append(f"its filter {found.filter!r} holds messages back")
        if faults:
            return gap(piece, f"{name}: {'; '.join(faults)}", _APPLY)
        return in_order(piece, name)

    return _looked_at(piece, name, "pubsub.subscriptions.get", look)


def _inspect_writer(
    clients: PubSubClients, topic: str, writer_identity: str | None
) -> list[Finding]:
    piece = "IAM of the log sink"
    if writer_identity is None:
        return []

    def look() -> Finding:
        request = iam_policy_pb2.GetIamPolicyRequest(resource=topic)
        policy = clients.publisher.get_iam_policy(
            request=request, retry=RETRY, timeout=_CALL_SECONDS
        )
        allowed = any(
            binding.role in _PUBLISHER_ROLES and writer_identity in binding.members
            for binding in policy.bindings
        )
        if allowed:
            return in_order(piece, f"{writer_identity} may publish to {topic}")
        return gap(
            piece,
            f"{writer_identity} may not publish to {topic}, so that anomalies are lost",
            f"grant roles/pubsub.publisher on the topic to it: {_APPLY}",
        )

    return [_looked_at(piece, topic, "pubsub.topics.getIamPolicy", look)]


def _inspect_own_access(
    clients: PubSubClients, piece: str, resource: str, permissions: list[str], role: str
) -> Finding:
    def look() -> Finding:
        request = iam_policy_pb2.TestIamPermissionsRequest(
            resource=resource, permissions=permissions
        )
        client: Any = clients.subscriber if "/subscriptions/" in resource else clients.publisher
        answer = client.test_iam_permissions(request=request, retry=RETRY, timeout=_CALL_SECONDS)
        missing = sorted(set(permissions) - set(answer.permissions))
        if missing:
            return gap(
                piece, f"missing: {', '.join(missing)}", f"grant {role} on {resource} to Dagster"
            )
        return in_order(piece, ", ".join(permissions))

    return _looked_at(piece, resource, permissions[0], look)


def _looked_at(piece: str, name: str, permission: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except exceptions.NotFound:
        return gap(piece, f"{name} does not exist", _APPLY)
    except exceptions.Forbidden:
        return unknown(piece, f"{name} may not be looked at", f"grant a role with {permission}")
    except exceptions.MethodNotImplemented:
        return in_order(piece, "this Pub/Sub server has no IAM: everyone may do everything")
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        return unknown(piece, f"{name}: {str(error)[:200]}", "try again")
