"""Cloud Storage's JSON API on loopback: buckets are directories; the real client lists, reads and
uploads.

Source: "Cloud Storage JSON API", Objects: list, get and insert (multipart upload). The
client takes the server's address from STORAGE_EMULATOR_HOST.
"""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import HTTP
from typing import Any
from urllib.parse import unquote

from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.http_server import (
    Answer,
    HttpServer,
    Request,
    json_answer,
    refusal,
)

PAGE = 2


class LoopbackStorage(HttpServer):
    """Serves buckets.

    Attributes:
        denied: names of buckets that answer 403.
        content_types: content type of each uploaded object, by its gs:// address.
    """

    def __init__(self, buckets: Buckets) -> None:
        super().__init__()
        self.denied: set[str] = set()
        self.content_types: dict[str, str] = {}
        self._buckets = buckets

    def answer(self, request: Request) -> Answer:
        bucket, _, name = request.path.partition("/b/")[2].partition("/o")
        name = unquote(name.lstrip("/"))
        is_upload = request.method == "POST"
        if bucket in self.denied:
            permission = f"storage.objects.{'create' if is_upload else 'list'}"
            return refusal(
                403,
                f"someone@example.com does not have {permission} access to the Google Cloud "
                f"Storage bucket. Permission '{permission}' denied on resource (or it may not "
                "exist).",
            )
        path = self._buckets.directory / bucket / name
        if not name and not path.is_dir():
            return refusal(404, "The specified bucket does not exist.")
        if is_upload:
            return self._insert(bucket, request)
        if not name:
            return self._list(bucket, request.query)
        if not path.is_file():
            return refusal(404, f"No such object: {bucket}/{name}")
        return Answer(200, path.read_bytes(), {"Content-Type": "application/octet-stream"})

    def _insert(self, bucket: str, request: Request) -> Answer:
        header = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        parts: Any = message_from_bytes(header + request.body, policy=HTTP).iter_parts()
        description, content = parts
        resource = json.loads(description.get_content())
        uri = f"gs://{bucket}/{resource['name']}"
        path = self._buckets.path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.get_payload(decode=True))
        charset = content.get_content_charset()
        self.content_types[uri] = f"{content.get_content_type()}; charset={charset}"
        return json_answer({"kind": "storage#object", "bucket": bucket, **resource})

    def _list(self, bucket: str, query: dict[str, str]) -> Answer:
        directory = self._buckets.directory / bucket
        names = (path.relative_to(directory).as_posix() for path in self._buckets.files(bucket))
        found = [name for name in names if name.startswith(query.get("prefix", ""))]
        start = int(query.get("pageToken", 0))
        document: dict[str, Any] = {
            "kind": "storage#objects",
            "items": [
                {"kind": "storage#object", "name": name, "bucket": bucket}
                for name in found[start : start + PAGE]
            ],
        }
        if start + PAGE < len(found):
            document["nextPageToken"] = str(start + PAGE)
        return json_answer(document)
