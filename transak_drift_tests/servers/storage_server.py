"""Cloud Storage's JSON API on loopback: buckets are directories; the real client lists, reads and
uploads.

Source: "Cloud Storage JSON API", Objects: list, get and insert (multipart upload). The
client takes the server's address from STORAGE_EMULATOR_HOST.
"""

from __future__ import annotations

import json
import threading
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from transak_drift_tests.servers.buckets import Buckets

PAGE = 2


class LoopbackStorage:
    """Serves buckets over HTTP.

    Attributes:
        url: `http://127.0.0.1:port`, as STORAGE_EMULATOR_HOST takes it.
        denied: names of buckets that answer 403.
        paths: paths of the requests that arrived.
        content_types: content type of each uploaded object, by its gs:// address.
        failures: so many further uploads are answered with 503.
    """

    def __init__(self, buckets: Buckets) -> None:
        self.denied: set[str] = set()
        self.paths: list[str] = []
        self.content_types: dict[str, str] = {}
        self.failures = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(buckets, self))
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


def _handler(buckets: Buckets, storage: LoopbackStorage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            storage.paths.append(self.path)
            address = urlsplit(self.path)
            parts = address.path.partition("/b/")[2].split("/o", 1)
            bucket, name = parts[0], unquote(parts[1].lstrip("/")) if len(parts) > 1 else ""
            query = {key: values[0] for key, values in parse_qs(address.query).items()}
            if bucket in storage.denied:
                self._answer_error(
                    403,
                    "someone@example.com does not have storage.objects.list access to the Google "
                    "Cloud Storage bucket. Permission 'storage.objects.list' denied on resource "
                    "(or it may not exist).",
                )
            elif not name:
                self._answer_list(bucket, query)
            else:
                self._answer_object(bucket, name)

        def do_POST(self) -> None:
            storage.paths.append(self.path)
            bucket = urlsplit(self.path).path.partition("/b/")[2].partition("/")[0]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if bucket in storage.denied:
                self._answer_error(
                    403,
                    "someone@example.com does not have storage.objects.create access to the Google "
                    "Cloud Storage object. Permission 'storage.objects.create' denied on resource "
                    "(or it may not exist).",
                )
            elif not (buckets.directory / bucket).is_dir():
                self._answer_error(404, "The specified bucket does not exist.")
            elif storage.failures > 0:
                storage.failures -= 1
                self._answer_error(503, "Backend error")
            else:
                self._insert(bucket, body)

        def _insert(self, bucket: str, body: bytes) -> None:
            header = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            description, content = message_from_bytes(header + body, policy=HTTP).iter_parts()
            resource = json.loads(description.get_content())
            path = buckets.directory / bucket / resource["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.get_payload(decode=True))
            storage.content_types[f"gs://{bucket}/{resource['name']}"] = (
                f"{content.get_content_type()}; charset={content.get_content_charset()}"
            )
            answer = {"kind": "storage#object", "bucket": bucket, **resource}
            self._answer(200, json.dumps(answer).encode(), "application/json")

        def _answer_list(self, bucket: str, query: dict[str, str]) -> None:
            directory = buckets.directory / bucket
            if not directory.is_dir():
                self._answer_error(404, "The specified bucket does not exist.")
                return
            names = sorted(
                path.relative_to(directory).as_posix()
                for path in directory.rglob("*")
                if path.is_file()
            )
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
            self._answer(200, json.dumps(document).encode(), "application/json")

        def _answer_object(self, bucket: str, name: str) -> None:
            path = buckets.directory / bucket / name
            if not path.is_file():
                self._answer_error(404, f"No such object: {bucket}/{name}")
                return
            self._answer(200, path.read_bytes(), "application/octet-stream")

        def _answer_error(self, code: int, message: str) -> None:
            body = json.dumps({"error": {"code": code, "message": message}}).encode()
            self._answer(code, body, "application/json")

        def _answer(self, code: int, body: bytes, content_type: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keep the tests' output quiet."""

    return Handler
