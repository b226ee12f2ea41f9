"""`transak-drift dead-letters`, on the embedded Pub/Sub server."""

from __future__ import annotations

import json
from functools import partial

import pytest

from transak_drift.pubsub import trigger_queue
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift_tests.cli import commands

# It clears the screen, and turns the rest of the line around.
HOSTILE = "\x1b[2J\x9b31m\u202eyes"


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_queue, "_PAGE_WAIT_SECONDS", 0.5)


call = partial(commands.call, "dead-letters")
listed = partial(commands.document, "dead-letters", "list")


def reject(queue: TriggerQueue, bodies: list[bytes], reason: str, detail: str) -> list[str]:
    ids = queue.publish_many(bodies)
    messages = list(queue.pull(1_000, 10**7, 0.5))
    queue.publish_dead_letters([(message, reason, detail) for message in messages])
    queue.acknowledge([message.ack_id for message in messages])
    return ids


def test_all_are_listed_and_replayed(queue: TriggerQueue) -> None:
    ids = reject(queue, [b'{"half": '] * 230, "not_json", "the body is not JSON")
    letters = listed()
    assert {letter["message_id"] for letter in letters} == set(ids)
    assert (letters[0]["reason"], letters[0]["body"]) == ("not_json", '{"half": ')
    assert len(listed("--limit", "7")) == 7
    assert call("list").output.count("not_json") == 230
    assert json.loads(call("replay", "--json", ids[-1]).stdout)["unknown"] == []
    assert call("replay").output.startswith("229 message(s) published")
    assert call("list").output.strip().endswith("none")
    assert len(list(queue.pull(1_000, 10**7, 0.5))) == 230


def test_an_unknown_id_is_named_and_the_others_are_replayed(queue: TriggerQueue) -> None:
    ids = reject(queue, [b"{", b"["], "not_json", "detail")
    result = call("replay", "12345", ids[0])
    assert result.exit_code == 1
    assert "1 message(s) published" in result.stdout
    assert "no dead letter has the id 12345" in result.stderr
    assert [letter["message_id"] for letter in listed()] == [ids[1]]
    limited = call("replay", "--limit", "1", "--json", "12345")
    assert limited.exit_code == 1
    assert json.loads(limited.stdout) == {"replayed": [], "unknown": ["12345"]}
    assert "among the first 1 " in limited.stderr


def test_texts_of_a_publisher_command_no_terminal(queue: TriggerQueue) -> None:
    reject(queue, [HOSTILE.encode()], f"not_json{HOSTILE}", HOSTILE)
    for output in (call("list").output, call("list", "--json").output):
        assert output.replace("\n", "").isprintable()
    [letter] = listed()
    assert (letter["detail"], letter["body"]) == (HOSTILE, HOSTILE)
    assert r"\x1b[2J" in call("list").output
    assert call("replay", "\x1b[2J").stderr.strip().isprintable()
