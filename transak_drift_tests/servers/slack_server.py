"""A server on loopback that speaks chat.postMessage of Slack's Web API."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from transak_drift_tests.servers.http_server import Answer as HttpAnswer
from transak_drift_tests.servers.http_server import HttpServer, Request, json_answer


@dataclass(frozen=True)
class Answer(HttpAnswer):
    """What the server answers once in place of taking the message."""

    body: bytes = b'{"ok": false, "error": "internal_error"}'

    @classmethod
    def error(cls, code: str, status: int = 200, **headers: str) -> Answer:
        """Answer with an error code of Slack."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps({"ok": False, "error": code}).encode(), names)


class SlackServer(HttpServer):
    """Takes messages for channels that exist, from the bot whose token it knows."""

    def __init__(self, token: str, *channels: str) -> None:
        super().__init__()
        self.url = f"{self.url}/api/"
        self.token = token
        self.channels = channels
        self.messages: list[dict[str, Any]] = []
        self.answers: deque[Answer] = deque()

    def texts(self, channel: str) -> list[str]:
        """Return what was posted to a channel, in order."""
        return [message["text"] for message in self.messages if message["channel"] == channel]

    def answer(self, request: Request) -> HttpAnswer:
        if self.answers:
            return self.answers.popleft()
        message = json.loads(request.body)
        if request.path != "/api/chat.postMessage":
            return Answer.error("unknown_method")
        if request.headers["Authorization"].removeprefix("Bearer ") != self.token:
            return Answer.error("invalid_auth")
        if message["channel"] not in self.channels:
            return Answer.error("channel_not_found")
        self.messages.append(message)
        ts = f"{len(self.messages)}.0"
        return json_answer({"ok": True, "ts": ts, "channel": message["channel"]})
