"""Data in BigQuery and Cloud Storage, through dagster-gcp's resources and the real clients."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from google.auth import impersonated_credentials

from transak_drift.config.data_source import DataSource
from transak_drift.config.monitoring_window import WindowCalendar
from transak_drift.defs.gcp_resources import CheckedQuery, GcpData
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


def source_of(table: str, day: date = DAY, **zone: str) -> DataSource:
    window, windows = day_window(day), WindowCalendar("day", **zone)
    return DataSource(f"bq://{table}", time_column="date", interval=windows.bounds(window))


def test_the_rows_of_a_day_are_counted_and_its_own_table_needs_no_query(
    bigquery: LoopbackBigQuery,
) -> None:
    assert DATA.describe(source_of(TABLE), WINDOW) == Dataset(f"bq://{TABLE}", 4)
    (query,) = bigquery.queries
    assert "TIMESTAMP '2026-05-01 00:00:00+00:00'" in query
    # In Zurich the second before midnight is of that day as well.
    assert DATA.describe(source_of(TABLE, time_zone="Europe/Zurich"), WINDOW).rows == 5
    assert DATA.describe(DataSource(f"bq://{TABLE}"), WINDOW).rows == 5
    assert len(bigquery.queries) == 2
    assert all(int(job["jobTimeoutMs"]) == 120_000 for job in bigquery.jobs)


def test_what_a_query_selects_is_counted_and_checked_without_running_it(
    bigquery: LoopbackBigQuery,
) -> None:
    query = f"SELECT * FROM `{TABLE}`\nWHERE date < '2026-05-01 00:00:01' -- ;"
    counted = DATA.describe(DataSource(query=query), WINDOW)
    assert counted == Dataset(" ".join(query.split()), 2)
    assert len(bigquery.queries) == 1
    assert DATA.check_query(query) == CheckedQuery(1024, (TABLE,))
    assert len(bigquery.queries) == 1
    for broken in (f"SELEC * FROM `{TABLE}`", f"SELECT x FROM `{TABLE}`"):
        with pytest.raises(PlatformError, match=r"BigQuery refuses .*; correct the query"):
            DATA.check_query(broken)
        with pytest.raises(PlatformError, match=r"BigQuery refuses .*; correct the query"):
            DATA.describe(DataSource(query=broken), WINDOW)
    with pytest.raises(PlatformError, match=r"SELECT .* has no rows of 2026-05-01"):
        DATA.describe(DataSource(query=f"SELECT * FROM `{TABLE}` WHERE FALSE"), WINDOW)
    bigquery.denied = True
    with pytest.raises(
        PlatformError, match=r"lacks bigquery\.jobs\.create .*roles/bigquery\.jobUser"
    ):
        DATA.check_query(query)


def test_labels_are_counted_by_one_query_and_rows_without_one_are_named(
    bigquery: LoopbackBigQuery,
) -> None:
    name = "af-finanzen.transak.labelled"
    rows = [("Migros", "food"), ("Migros", "food"), ("MGB", None), ("MGB", " "), (None, "1.0")]
    bigquery.tables.insert(
        name, [{"description": text, "label": label, "date": str(DAY)} for text, label in rows]
    )
    later = {"description": "SBB", "label": "travel", "date": "2026-05-02"}
    bigquery.tables.insert(name, [later])
    everything = DATA.count_labels(DataSource(f"bq://{name}"), "label", "description")
    assert (everything.rows, everything.labelled) == (6, 4)
    query = DataSource(query=f"SELECT * FROM `{name}` WHERE date = '{DAY}' -- the window")
    for source in (source_of(name), query):
        found = DATA.count_labels(source, "label", "description")
        assert (found.rows, found.labelled, found.by_label) == (5, 3, {"food": 2, "1": 1})
        assert (found.value_column, found.without_label) == ("description", (("MGB", 2),))
    assert len(bigquery.queries) == 3
    with pytest.raises(PlatformError, match="is no name in BigQuery"):
        DATA.count_labels(query, "a`b", "description")
    with pytest.raises(PlatformError, match="BigQuery refuses"):
        DATA.count_labels(query, "category", "description")


def test_an_account_in_the_access_list_of_a_dataset_may_read_it(bigquery: LoopbackBigQuery) -> None:
    agent = "service-1@gcp-sa-vertex-mm.iam.gserviceaccount.com"
    assert not DATA.lets_read("other.transak", f"serviceAccount:{agent}")
    bigquery.readers["other.transak"] = ["a@example.com", agent]
    assert DATA.lets_read("other.transak", f"serviceAccount:{agent}")
    assert not DATA.lets_read("other.transak", "serviceAccount:b@example.com")
    bigquery.denied = True
    assert not DATA.lets_read("other.transak", f"serviceAccount:{agent}")


def test_what_bigquery_does_not_have_is_named(bigquery: LoopbackBigQuery) -> None:
    june = day_window(date(2026, 6, 1))
    with pytest.raises(PlatformError, match=r"has no rows of 2026-06-01; write them first"):
        DATA.describe(source_of(TABLE, june.first_day), june)
    no_table = "af-finanzen.transak.no"
    for source in (DataSource(f"bq://{no_table}"), source_of(no_table)):
        with pytest.raises(PlatformError, match=r"bq://af-finanzen\.transak\.no was not found"):
            DATA.describe(source, WINDOW)
    bigquery.denied = True
    with pytest.raises(PlatformError, match=r"grant roles/bigquery\.dataViewer"):
        DATA.describe(DataSource(f"bq://{TABLE}"), WINDOW)


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
        assert DATA.describe(DataSource(address), WINDOW) == Dataset(address, None)
    for address, told in {
        f"{predictions}/2026-05-03/*.csv": "matches no object of 2026-05-01; write them",
        f"{predictions}/2026-05-01/part-2.csv": "matches no object",
        "gs://nobody/x.csv": "gs://nobody was not found",
    }.items():
        with pytest.raises(PlatformError, match=told):
            DATA.describe(DataSource(address), WINDOW)
    storage.denied.add("transak-i1")
    with pytest.raises(PlatformError, match=r"grant roles/storage\.objectViewer"):
        DATA.describe(DataSource("gs://transak-i1/x.csv"), WINDOW)


def test_one_setting_makes_the_credentials_act_as_a_service_account(
    bigquery: LoopbackBigQuery,
) -> None:
    account = "dagster-transak-drift@af-finanzen.iam.gserviceaccount.com"
    credentials = load_credentials(account)
    assert isinstance(credentials, impersonated_credentials.Credentials)
    assert credentials.service_account_email == account
    own = load_credentials(None)
    assert not isinstance(own, impersonated_credentials.Credentials)
