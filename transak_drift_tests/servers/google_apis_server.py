"""Cloud Logging, Cloud Monitoring, Cloud Storage's policies and the Resource Manager, over HTTP."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from transak_drift_tests.servers.location import PROJECT_ID, PROJECT_NUMBER


class LoopbackGoogleApis:
    """Serves what `transak-drift doctor` reads over REST.

    Attributes:
        url: `http://127.0.0.1:port`.
        sinks: the project's sinks, as the API has them.
        entries: the project's log, oldest first.
        channels: the notification channels by resource name.
        writers: by bucket the principals with the role roles/storage.objectUser.
        missing: permissions that the caller lacks.
        denied: services whose calls answer 403, by the word in their path.
        failures: how many calls answer 503 first.
        methods: the HTTP methods and paths that arrived.
    """

    def __init__(self) -> None:
        self.sinks: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.channels: dict[str, dict[str, Any]] = {}
        self.writers: dict[str, set[str]] = {}
        self.missing: set[str] = set()
        self.denied: set[str] = set()
        self.failures = 0
        self.methods: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _bucket_of(path: str) -> str:
    match = re.fullmatch(r"/storage/v1/b/([^/]+)/iam", path)
    return match[1] if match else ""


def _page_of_entries(entries: list[dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    """Answer entries.list as "Cloud Logging API v2" defines it: an empty page first, then one each.

    Of the query language it knows what stands alone, `=` and `>=` on text, AND, and OR in
    parentheses.
    """
    matching = [entry for entry in entries if _matches(request["filter"], entry)]
    matching.sort(key=lambda entry: entry["timestamp"])
    if request.get("orderBy") == "timestamp desc":
        matching.reverse()
    index = int(request.get("pageToken", "-1"))
    page: dict[str, Any] = {"entries": [matching[index]]} if 0 <= index < len(matching) else {}
    if index + 1 < len(matching):
        page["nextPageToken"] = str(index + 1)
    return page


def _matches(query: str, entry: dict[str, Any]) -> bool:
    for clause in query.split("\nAND "):
        comparison = re.fullmatch(r'([\w.]+) (=|>=) "([^"]*)"', clause)
        if comparison is not None:
            path, operator, expected = comparison.groups()
            value: Any = entry
            for name in path.split("."):
                value = value.get(name, "")
            if not (value == expected if operator == "=" else value >= expected):
                return False
        else:
            terms = [json.loads(term) for term in clause.strip("()").split(" OR ")]
            if not any(term in json.dumps(entry) for term in terms):
                return False
    return True


def _handler(apis: LoopbackGoogleApis) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer_call("GET", b"")

        def do_POST(self) -> None:
            self._answer_call("POST", self.rfile.read(int(self.headers["Content-Length"])))

        def _answer_call(self, method: str, body: bytes) -> None:
            address = urlsplit(self.path)
            apis.methods.append((method, address.path))
            if apis.failures:
                apis.failures -= 1
                self._answer(503, {"error": {"message": "The service is unavailable."}})
            elif any(word in address.path for word in apis.denied):
                self._answer(403, {"error": {"message": "The caller does not have permission"}})
            elif address.path.endswith("/sinks"):
                # One a page, so that the pages are walked.
                start = int(parse_qs(address.query).get("pageToken", ["0"])[0])
                document: dict[str, Any] = {"sinks": apis.sinks[start : start + 1]}
                if start + 1 < len(apis.sinks):
                    document["nextPageToken"] = str(start + 1)
                self._answer(200, document)
            elif address.path == "/v2/entries:list":
                self._answer(200, _page_of_entries(apis.entries, json.loads(body)))
            elif address.path == f"/v1/projects/{PROJECT_ID}":
                self._answer(200, {"projectId": PROJECT_ID, "projectNumber": PROJECT_NUMBER})
            elif address.path.removeprefix("/v3/") in apis.channels:
                self._answer(200, apis.channels[address.path.removeprefix("/v3/")])
            elif (bucket := _bucket_of(address.path)) in apis.writers:
                members = sorted(apis.writers[bucket])
                binding = {"role": "roles/storage.objectUser", "members": members}
                self._answer(200, {"kind": "storage#policy", "bindings": [binding]})
            elif address.path.endswith(":testIamPermissions"):
                asked = json.loads(body)["permissions"]
                self._answer(
                    200, {"permissions": [item for item in asked if item not in apis.missing]}
                )
            else:
                self._answer(404, {"error": {"message": f"no such path {address.path}"}})

        def _answer(self, code: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keep the tests' output quiet."""

    return Handler
