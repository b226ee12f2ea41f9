"""A server on loopback that speaks chat.postMessage of Slack's Web API."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server answers once in place of taking the message."""

    status: int = 200
    body: bytes = b'{"ok": false, "error": "internal_error"}'
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def error(cls, code: str, status: int = 200, **headers: str) -> Answer:
        """Answer with an error code of Slack."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps({"ok": False, "error": code}).encode(), names)


class SlackServer:
    """Takes messages for channels that exist, from the bots whose token it knows."""

    def __init__(self, url: str, tokens: set[str], channels: set[str]) -> None:
        self.url = url
        self.tokens = tokens
        self.channels = channels
        self.messages: list[dict[str, Any]] = []
        self.calls = 0
        self.answers: deque[Answer] = deque()

    def texts(self, channel: str) -> list[str]:
        """Return what was posted to a channel, in order."""
        return [message["text"] for message in self.messages if message["channel"] == channel]

    def answer(self, path: str, authorization: str, message: dict[str, Any]) -> Answer:
        """Answer one request."""
        self.calls += 1
        if self.answers:
            return self.answers.popleft()
        if path != "/api/chat.postMessage":
            return Answer.error("unknown_method")
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return Answer.error("invalid_auth")
        if message["channel"] not in self.channels:
            return Answer.error("channel_not_found")
        self.messages.append(message)
        body = {"ok": True, "ts": f"{len(self.messages)}.0", "channel": message["channel"]}
        return Answer(200, json.dumps(body).encode())


@contextmanager
def slack_server(token: str, *channels: str) -> Generator[SlackServer]:
    """Run the server for a while."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = server.answer(self.path, self.headers["Authorization"], json.loads(body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Leave the test's output alone."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        url = f"http://127.0.0.1:{http.server_address[1]}/api/"
        server = SlackServer(url, {token}, set(channels))
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
