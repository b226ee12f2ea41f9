"""Looks at the trigger's topics and subscriptions, and at who may use them; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.api_core import exceptions
from google.iam.v1 import iam_policy_pb2

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import subscription_name, topic_name
from transak_drift.google_cloud.check import Check, missing, passed, unknown
from transak_drift.pubsub.connection import RETRY, PubSubClients

_OPTIONS: dict[str, Any] = {"retry": RETRY, "timeout": 20.0}
_APPLY = "run `terraform apply` in terraform/"
_PUBLISHER_ROLES = frozenset(
    {"roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin"}
)


def inspect_trigger_queue(
    clients: PubSubClients,
    config: MonitoringConfig,
    publishers: Mapping[str, str],
    *,
    is_pulled: bool,
) -> list[Check]:
    """Hold topics, subscriptions and their IAM against what the trigger needs.

    Args:
        clients: the connected clients.
        config: names them.
        publishers: by name the IAM principals that must be able to publish to the trigger topic.
        is_pulled: whether Dagster pulls the trigger subscription; there is none otherwise.
    """
    project = config.project_id
    topic = topic_name(project, config.trigger_topic)
    subscription = subscription_name(project, config.trigger_subscription)
    dead_letters = topic_name(project, config.dead_letter_topic)
    kept = subscription_name(project, config.dead_letter_subscription)
    checks = [
        _check_topic(clients, "trigger topic", topic),
        _check_topic(clients, "dead-letter topic", dead_letters),
        _check_subscription(clients, "dead-letter subscription", kept, dead_letters, None),
        *(
            _check_publisher(clients, f"IAM of the {name}", topic, principal)
            for name, principal in publishers.items()
        ),
        _check_own_access(
            clients.publisher, "IAM on the dead-letter topic", dead_letters, "topics.publish"
        ),
    ]
    if is_pulled:
        name = "trigger subscription"
        checks += [
            _check_subscription(clients, name, subscription, topic, dead_letters),
            _check_own_access(
                clients.subscriber, f"IAM on the {name}", subscription, "subscriptions.consume"
            ),
        ]
    return checks


def _check_topic(clients: PubSubClients, name: str, topic: str) -> Check:
    def check() -> Check:
        clients.publisher.get_topic(topic=topic, **_OPTIONS)
        return passed(name, topic)

    return _answered(name, topic, "pubsub.topics.get", check)


def _check_subscription(
    clients: PubSubClients, name: str, subscription: str, topic: str, dead_letters: str | None
) -> Check:
    def check() -> Check:
        found = clients.subscriber.get_subscription(subscription=subscription, **_OPTIONS)
        faults = []
        if found.topic != topic:
            faults.append(f"it is of {found.topic}, not of {topic}")
        if found.push_config.push_endpoint:
            faults.append("it pushes, but the sensor pulls")
        policy = found.dead_letter_policy.dead_letter_topic
        if dead_letters is not None and policy != dead_letters:
            where = f"to {policy}" if policy else "nowhere"
            faults.append(f"its dead letters go {where}, not to {dead_letters}")
        if found.filter:
            faults.append(f"its filter {found.filter!r} holds messages back")
        if faults:
            return missing(name, f"{subscription}: {'; '.join(faults)}", _APPLY)
        return passed(name, subscription)

    return _answered(name, subscription, "pubsub.subscriptions.get", check)


def _check_publisher(clients: PubSubClients, name: str, topic: str, principal: str) -> Check:
    def check() -> Check:
        request = iam_policy_pb2.GetIamPolicyRequest(resource=topic)
        policy = clients.publisher.get_iam_policy(request=request, **_OPTIONS)
        if any(
            binding.role in _PUBLISHER_ROLES and principal in binding.members
            for binding in policy.bindings
        ):
            return passed(name, f"{principal} may publish to {topic}")
        return missing(
            name,
            f"{principal} may not publish to {topic}, so that its messages are lost",
            f"grant roles/pubsub.publisher on the topic to it: {_APPLY}",
        )

    return _answered(name, topic, "pubsub.topics.getIamPolicy", check)


def _check_own_access(client: Any, name: str, resource: str, permission: str) -> Check:
    permission = f"pubsub.{permission}"
    role = "publisher" if permission.endswith("publish") else "subscriber"

    def check() -> Check:
        request = iam_policy_pb2.TestIamPermissionsRequest(
            resource=resource, permissions=[permission]
        )
        if permission in client.test_iam_permissions(request=request, **_OPTIONS).permissions:
            return passed(name, permission)
        fix = f"grant roles/pubsub.{role} on {resource} to Dagster"
        return missing(name, f"missing: {permission}", fix)

    return _answered(name, resource, permission, check)


def _answered(name: str, resource: str, permission: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except exceptions.NotFound:
        return missing(name, f"{resource} does not exist", _APPLY)
    except exceptions.Forbidden:
        return unknown(name, f"{resource} may not be looked at", f"grant a role with {permission}")
    except exceptions.MethodNotImplemented:
        return passed(name, "this Pub/Sub server has no IAM: everyone may do everything")
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        return unknown(name, f"{resource}: {str(error)[:200]}", "try again")
