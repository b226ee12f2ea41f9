"""BigQuery's REST API on loopback, over DuckDB, and the token endpoint of its credentials.

Source: "BigQuery REST API": jobs.insert, jobs.getQueryResults and tables.get; "Using OAuth 2.0 for
Server to Server Applications" for the token. The client takes the server's address from
BIGQUERY_EMULATOR_HOST, and the token endpoint from the key file.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import duckdb
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class LoopbackBigQuery:
    """Serves tables over HTTP.

    Attributes:
        url: `http://127.0.0.1:port`, as BIGQUERY_EMULATOR_HOST takes it.
        queries: the SQL that arrived.
        denied: whether every call answers 403.
    """

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.denied = False
        self._database = duckdb.connect()
        self._results: dict[str, tuple[list[tuple[str, str]], list[tuple[Any, ...]]]] = {}
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
        self._database.close()

    def create_table(self, name: str, select: str) -> None:
        """Create a table."""
        self._database.execute(f'CREATE TABLE "{name}" AS {select}')

    def write_key_file(self, path: Path) -> None:
        """Write a key of a service account whose tokens this server hands out."""
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        document = {
            "type": "service_account",
            "project_id": "af-finanzen",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "dagster@af-finanzen.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }
        path.write_text(json.dumps(document))

    def table(self, name: str) -> int | None:
        """Return the rows of a table, or None where there is none."""
        try:
            row = self._database.cursor().execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()
        except duckdb.CatalogException:
            return None
        return None if row is None else int(row[0])

    def run(self, job_id: str, query: str) -> None:
        """Run a query; BigQuery quotes names by backticks, DuckDB by double quotes."""
        self.queries.append(query)
        cursor = self._database.cursor().execute(query.replace("`", '"'))
        columns = [(column[0], str(column[1])) for column in cursor.description or []]
        self._results[job_id] = (columns, cursor.fetchall())

    def result(self, job_id: str) -> dict[str, Any]:
        """Return the answer of jobs.getQueryResults."""
        columns, rows = self._results[job_id]
        return {
            "jobComplete": True,
            "totalRows": str(len(rows)),
            "schema": {"fields": [{"name": name, "type": "INTEGER"} for name, _ in columns]},
            "rows": [{"f": [{"v": str(value)} for value in row]} for row in rows],
        }


def _handler(bigquery: LoopbackBigQuery) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/token":
                self._answer(
                    200, {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}
                )
                return
            job = json.loads(body)
            reference = job["jobReference"]
            if bigquery.denied:
                self._refuse(403, "Access Denied: User does not have bigquery.jobs.create.")
                return
            try:
                bigquery.run(reference["jobId"], job["configuration"]["query"]["query"])
            except duckdb.CatalogException as error:
                self._refuse(404, f"Not found: {error}")
                return
            self._answer(200, {**job, "status": {"state": "DONE"}})

        def do_GET(self) -> None:
            parts = urlsplit(self.path).path.split("/")
            if bigquery.denied:
                self._refuse(403, "Access Denied: Permission bigquery.tables.get denied.")
            elif "queries" in parts:
                job_id = parts[-1]
                reference = {"projectId": "af-finanzen", "jobId": job_id}
                self._answer(200, {**bigquery.result(job_id), "jobReference": reference})
            elif "jobs" in parts:
                reference = {"projectId": "af-finanzen", "jobId": parts[-1]}
                self._answer(
                    200,
                    {
                        "jobReference": reference,
                        "status": {"state": "DONE"},
                        "configuration": {"query": {}},
                    },
                )
            else:
                project, dataset, table = parts[-5], parts[-3], parts[-1]
                rows = bigquery.table(f"{project}.{dataset}.{table}")
                if rows is None:
                    self._refuse(404, f"Not found: Table {project}:{dataset}.{table}")
                    return
                reference = {"projectId": project, "datasetId": dataset, "tableId": table}
                self._answer(200, {"tableReference": reference, "numRows": str(rows)})

        def _refuse(self, code: int, message: str) -> None:
            self._answer(code, {"error": {"code": code, "message": message}})

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
