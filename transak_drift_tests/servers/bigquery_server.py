"""BigQuery's REST API on loopback, over DuckDB, and the token endpoint of its credentials.

Source: "BigQuery REST API": jobs.insert, jobs.getQueryResults, datasets.get and tables.get; "Using
OAuth 2.0 for Server to Server Applications" for the token. The client takes the server's
address from BIGQUERY_EMULATOR_HOST, and the token endpoint from the key file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from transak_drift_tests.servers.http_server import (
    Answer,
    HttpServer,
    Request,
    json_answer,
    refusal,
)
from transak_drift_tests.servers.tables import Error, Tables


class LoopbackBigQuery(HttpServer):
    """Serves tables.

    Attributes:
        tables: the tables, which Vertex AI may read as well.
        jobs: the configurations of the query jobs that arrived.
        readers: by `project.dataset` the accounts in its access list.
        denied: whether every call answers 403.
    """

    def __init__(self, tables: Tables | None = None) -> None:
        super().__init__()
        self.tables = tables or Tables()
        self.jobs: list[dict[str, Any]] = []
        self.readers: dict[str, list[str]] = {}
        self.denied = False
        self._results: dict[str, dict[str, Any]] = {}

    @property
    def queries(self) -> list[str]:
        """The SQL that arrived and was to be executed."""
        return [job["query"]["query"] for job in self.jobs if not job.get("dryRun")]

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

    def answer(self, request: Request) -> Answer:
        parts = request.path.split("/")
        if request.path == "/token":
            return json_answer(
                {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}
            )
        if self.denied:
            permission = f"bigquery.{'jobs.create' if request.method == 'POST' else 'tables.get'}"
            denied = f"User does not have {permission} permission in project af-finanzen."
            return refusal(403, f"Access Denied: Project af-finanzen: {denied}")
        try:
            if request.method == "POST":
                return self._run(json.loads(request.body))
            reference = {"projectId": "af-finanzen", "jobId": parts[-1]}
            if "queries" in parts:
                return json_answer({**self._results[parts[-1]], "jobReference": reference})
            if "jobs" in parts:
                done: dict[str, Any] = {
                    "status": {"state": "DONE"},
                    "configuration": {"query": {}},
                }
                return json_answer({"jobReference": reference, **done})
            if "tables" not in parts:
                dataset = {"projectId": parts[-3], "datasetId": parts[-1]}
                readers = self.readers.get(".".join(dataset.values()), [])
                access = [{"role": "READER", "userByEmail": reader} for reader in readers]
                return json_answer({"datasetReference": dataset, "access": access})
            table = {"projectId": parts[-5], "datasetId": parts[-3], "tableId": parts[-1]}
            rows = self.tables.rows(f"SELECT COUNT(*) FROM `{'.'.join(table.values())}`")[1][0][0]
            return json_answer({"tableReference": table, "numRows": str(rows)})
        except Error as error:
            # As BigQuery does: what is not there, else what is wrong with the text.
            status = 404 if type(error).__name__ == "CatalogException" else 400
            return refusal(status, f"{'Not found' if status == 404 else 'Syntax error'}: {error}")

    def _run(self, job: dict[str, Any]) -> Answer:
        configuration = job["configuration"]
        self.jobs.append(configuration)
        query = configuration["query"]["query"]
        if configuration.get("dryRun"):
            keys = ("projectId", "datasetId", "tableId")
            read = [dict(zip(keys, n.split("."), strict=True)) for n in self.tables.check(query)]
            statistics = {"query": {"totalBytesProcessed": "1024", "referencedTables": read}}
            return json_answer({**job, "status": {"state": "DONE"}, "statistics": statistics})
        names, rows = self.tables.rows(query)
        kinds = [_type_of([row[column] for row in rows]) for column in range(len(names))]
        fields = [{"name": name, "type": kind} for name, kind in zip(names, kinds, strict=True)]
        self._results[job["jobReference"]["jobId"]] = {
            "jobComplete": True,
            "totalRows": str(len(rows)),
            "schema": {"fields": fields},
            "rows": [
                {"f": [{"v": None if value is None else str(value)} for value in row]}
                for row in rows
            ],
        }
        return json_answer({**job, "status": {"state": "DONE"}})


def _type_of(values: Sequence[Any]) -> str:
    return "STRING" if any(isinstance(value, str) for value in values) else "INTEGER"
