"""Cloud Logging, Cloud Monitoring, Cloud Storage's policies and the Resource Manager, over HTTP."""

from __future__ import annotations

import json
import re
from typing import Any

from transak_drift_tests.servers.api_rules import PROJECT_ID, PROJECT_NUMBER
from transak_drift_tests.servers.http_server import (
    Answer,
    HttpServer,
    Request,
    json_answer,
    refusal,
)


class LoopbackGoogleApis(HttpServer):
    """Serves what `transak-drift doctor` reads over REST.

    Attributes:
        sinks: the project's sinks, as the API has them.
        entries: the project's log, oldest first.
        channels: the notification channels by resource name.
        writers: by bucket the principals with the role roles/storage.objectUser.
        missing: permissions that the caller lacks.
        denied: services whose calls answer 403, by the word in their path.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sinks: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.channels: dict[str, dict[str, Any]] = {}
        self.writers: dict[str, set[str]] = {}
        self.missing: set[str] = set()
        self.denied: set[str] = set()

    def answer(self, request: Request) -> Answer:
        path = request.path
        if any(word in path for word in self.denied):
            return refusal(403, "The caller does not have permission")
        if path.endswith("/sinks"):
            return json_answer(self._page_of_sinks(int(request.query.get("pageToken", "0"))))
        if path == "/v2/entries:list":
            return json_answer(self._page_of_entries(json.loads(request.body)))
        if path == f"/v1/projects/{PROJECT_ID}":
            return json_answer({"projectId": PROJECT_ID, "projectNumber": PROJECT_NUMBER})
        if path.endswith(":testIamPermissions"):
            asked = json.loads(request.body)["permissions"]
            return json_answer({"permissions": [p for p in asked if p not in self.missing]})
        if path.removeprefix("/v3/") in self.channels:
            return json_answer(self.channels[path.removeprefix("/v3/")])
        bucket = re.fullmatch(r"/storage/v1/b/([^/]+)/iam", path)
        if bucket is not None and bucket[1] in self.writers:
            members = sorted(self.writers[bucket[1]])
            binding = {"role": "roles/storage.objectUser", "members": members}
            return json_answer({"kind": "storage#policy", "bindings": [binding]})
        return refusal(404, f"no such path {path}")

    def _page_of_sinks(self, start: int) -> dict[str, Any]:
        # One a page, so that the pages are walked.
        token = {"nextPageToken": str(start + 1)} if start + 1 < len(self.sinks) else {}
        return {"sinks": self.sinks[start : start + 1], **token}

    def _page_of_entries(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer entries.list as "Cloud Logging API v2" has it: an empty page, then one each."""
        matching = [entry for entry in self.entries if matches(request["filter"], entry)]
        newest_first = request.get("orderBy") == "timestamp desc"
        matching.sort(key=lambda entry: entry["timestamp"], reverse=newest_first)
        index = int(request.get("pageToken", "-1"))
        token = {"nextPageToken": str(index + 1)} if index + 1 < len(matching) else {}
        return {"entries": matching[index : index + 1], **token} if index >= 0 else token


def matches(query: str, entry: dict[str, Any]) -> bool:
    """Evaluate a filter of "Logging query language": clauses joined by AND.

    A clause compares a field's text by `=`, `=~` or `>=`, where a field that the entry lacks does
    not match, or it is one of several texts anywhere in the entry, joined by OR in parentheses.
    """
    lines = [line for line in query.splitlines() if not line.startswith("--")]
    return all(_holds(text.strip(), entry) for text in re.split(r"\bAND\b", " ".join(lines)))


def _holds(clause: str, entry: dict[str, Any]) -> bool:
    comparison = re.fullmatch(r'([\w.]+) (=|=~|>=) "([^"]*)"', clause)
    if comparison is None:
        terms = [json.loads(term) for term in clause.strip("()").split(" OR ")]
        return any(term in json.dumps(entry) for term in terms)
    path, operator, expected = comparison.groups()
    value: Any = entry
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        return False
    if operator == "=~":
        return re.search(expected, value) is not None
    return value >= expected if operator == ">=" else value.lower() == expected.lower()
