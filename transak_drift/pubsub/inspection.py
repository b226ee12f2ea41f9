"""Looks at the trigger's topics and subscriptions, and at who may use them; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.api_core import exceptions

from transak_drift.google_cloud.inspection import Check, missing, passed, unknown
from transak_drift.pubsub.connection import CALL_OPTIONS
from transak_drift.pubsub.trigger_queue import TriggerQueue

_APPLY = "run `terraform apply` in terraform/"
_PUBLISHER_ROLES = {"roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin"}


def inspect_trigger_queue(
    queue: TriggerQueue, publishers: Mapping[str, str], *, is_pulled: bool
) -> list[Check]:
    """Hold topics, subscriptions and their IAM against what the trigger needs.

    The publishers are the IAM principals that must be able to publish to the trigger topic, by
    name. There is a trigger subscription only where Dagster pulls it.
    """
    publisher, subscriber = queue.clients
    topic, dead_letters = queue.topic, queue.dead_letter_topic
    kept = queue.dead_letter_subscription
    checks = [
        _check_topic(publisher, "trigger topic", topic),
        _check_topic(publisher, "dead-letter topic", dead_letters),
        _check_subscription(subscriber, "dead-letter subscription", kept, dead_letters, None),
        *(
            _check_publisher(publisher, f"IAM of the {name}", topic, principal)
            for name, principal in publishers.items()
        ),
        _check_own_access(publisher, "IAM on the dead-letter topic", dead_letters, "publisher"),
    ]
    if is_pulled:
        name = "trigger subscription"
        checks += [
            _check_subscription(subscriber, name, queue.name, topic, dead_letters),
            _check_own_access(subscriber, f"IAM on the {name}", queue.name, "subscriber"),
        ]
    return checks


def _check_topic(client: Any, name: str, topic: str) -> Check:
    def fault() -> str:
        client.get_topic(topic=topic, **CALL_OPTIONS)
        return ""

    return _check(name, topic, "pubsub.topics.get", fault)


def _check_subscription(
    client: Any, name: str, subscription: str, topic: str, dead_letters: str | None
) -> Check:
    def fault() -> str:
        found = client.get_subscription(subscription=subscription, **CALL_OPTIONS)
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
        return f"{subscription}: {'; '.join(faults)}" if faults else ""

    return _check(name, subscription, "pubsub.subscriptions.get", fault)


def _check_publisher(client: Any, name: str, topic: str, principal: str) -> Check:
    def fault() -> str:
        policy = client.get_iam_policy(request={"resource": topic}, **CALL_OPTIONS)
        if any(principal in x.members for x in policy.bindings if x.role in _PUBLISHER_ROLES):
            return ""
        return f"{principal} may not publish to {topic}, so that its messages are lost"

    fix = f"grant roles/pubsub.publisher on the topic to it: {_APPLY}"
    return _check(name, topic, "pubsub.topics.getIamPolicy", fault, fix)


def _check_own_access(client: Any, name: str, resource: str, role: str) -> Check:
    permission = f"pubsub.{'topics.publish' if role == 'publisher' else 'subscriptions.consume'}"

    def fault() -> str:
        request = {"resource": resource, "permissions": [permission]}
        granted = client.test_iam_permissions(request=request, **CALL_OPTIONS).permissions
        return "" if permission in granted else f"missing: {permission}"

    fix = f"grant roles/pubsub.{role} on {resource} to Dagster"
    return _check(name, resource, permission, fault, fix)


def _check(
    name: str, resource: str, permission: str, fault: Callable[[], str], fix: str = _APPLY
) -> Check:
    """Return what a look at a resource, which needs a permission, found wrong with it."""
    try:
        found = fault()
    except exceptions.NotFound:
        return missing(name, f"{resource} does not exist", _APPLY)
    except exceptions.Forbidden:
        return unknown(name, f"{resource} may not be looked at", f"grant a role with {permission}")
    except exceptions.MethodNotImplemented:
        return passed(name, "this Pub/Sub server has no IAM: everyone may do everything")
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        return unknown(name, f"{resource}: {str(error)[:200]}", "try again")
    return missing(name, found, fix) if found else passed(name, resource)
