"""Data in BigQuery and Cloud Storage, through dagster-gcp's resources and the real clients."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from google.auth import impersonated_credentials

from transak_drift.defs.gcp_resources import GcpData
from transak_drift.google_cloud.session import load_credentials
from transak_drift.platform import Dataset, PlatformError
from transak_drift_tests.servers.bigquery_server import LoopbackBigQuery
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.windows import day_window

DAY = date(2026, 5, 1)
WINDOW = day_window(DAY)
TABLE = "af-finanzen.transak.predictions"
DATA = GcpData("af-finanzen", "europe-west6")


@pytest.fixture
def bigquery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBigQuery]:
    with LoopbackBigQuery() as server:
        key_file = tmp_path / "key.json"
        server.write_key_file(key_file)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        server.tables.create(
            TABLE,
            "SELECT TIMESTAMP '2026-04-30 23:59:59' + INTERVAL 1 SECOND * range AS date "
            "FROM range(5)",
        )
        yield server


def test_the_rows_of_a_day_are_counted_and_its_own_table_needs_no_query(
    bigquery: LoopbackBigQuery,
) -> None:
    assert DATA.describe(f"bq://{TABLE}", WINDOW, "date") == Dataset(f"bq://{TABLE}", 4)
    (query,) = bigquery.queries
    assert "DATE '2026-05-01'" in query
    assert DATA.describe(f"bq://{TABLE}", WINDOW, None).rows == 5
    assert len(bigquery.queries) == 1


@pytest.mark.parametrize(
    ("table", "day", "column", "told"),
    [
        (TABLE, date(2026, 6, 1), "date", r"has no rows of 2026-06-01; write them first"),
        ("af-finanzen.transak.no", DAY, None, r"bq://af-finanzen\.transak\.no was not found"),
        (TABLE, DAY, "a` OR TRUE --", "is no column of BigQuery"),
        (TABLE, DAY, "a\\", "is no column of BigQuery"),
    ],
)
def test_what_bigquery_does_not_have_is_named(
    bigquery: LoopbackBigQuery, table: str, day: date, column: str | None, told: str
) -> None:
    with pytest.raises(PlatformError, match=told):
        DATA.describe(f"bq://{table}", day_window(day), column)
    assert not [query for query in bigquery.queries if "OR TRUE" in query]
    bigquery.denied = True
    with pytest.raises(PlatformError, match=r"grant roles/bigquery\.dataViewer"):
        DATA.describe(f"bq://{TABLE}", WINDOW, None)


def test_objects_are_found_by_name_and_by_wildcard_and_what_is_missing_is_named(
    storage: LoopbackStorage, tmp_path: Path
) -> None:
    for name in ("2026-05-01/part-0.csv", "2026-05-01/part-1.csv", "2026-05-02/x.jsonl"):
        path = tmp_path / "transak-i1" / "predictions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    predictions = "gs://transak-i1/predictions"
    for found in ("2026-05-01/part-1.csv", "2026-05-01/*.csv", "2026-05-0?/x.jsonl", "*/x.jsonl"):
        address = f"{predictions}/{found}"
        assert DATA.describe(address, WINDOW, None) == Dataset(address, None)
    for address, told in {
        f"{predictions}/2026-05-03/*.csv": "matches no object; write the data of",
        f"{predictions}/2026-05-01/part-2.csv": "matches no object; write the data",
        "gs://nobody/x.csv": "gs://nobody was not found",
    }.items():
        with pytest.raises(PlatformError, match=told):
            DATA.describe(address, WINDOW, None)
    storage.denied.add("transak-i1")
    with pytest.raises(PlatformError, match=r"grant roles/storage\.objectViewer"):
        DATA.describe("gs://transak-i1/x.csv", WINDOW, None)


def test_one_setting_makes_the_credentials_act_as_a_service_account(
    bigquery: LoopbackBigQuery,
) -> None:
    account = "dagster-transak-drift@af-finanzen.iam.gserviceaccount.com"
    credentials = load_credentials(account)
    assert isinstance(credentials, impersonated_credentials.Credentials)
    assert credentials.service_account_email == account
    own = load_credentials(None)
    assert not isinstance(own, impersonated_credentials.Credentials)
