"""Months of one BigQuery table, monitored by query against a CSV of the training data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1.types import PipelineJob

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.config.sections import LabelPolicy
from transak_drift.defs.keys import MONITORING_RUN, PREPARE_JOB, TRANSACTIONS
from transak_drift_tests.cli.commands import document
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.end_to_end.gcp_loop import NAMES, REPORT, GcpLoop
from transak_drift_tests.servers.bigquery_server import LoopbackBigQuery
from transak_drift_tests.servers.clients import PLACES

TABLE = "af-finanzen.transak.predictions"
QUERY = f"SELECT type, description, amount\nFROM `{TABLE}`\nWHERE month = {{yyyymm}}"
ROWS = 300
CALENDAR = WindowCalendar("month")
RECOVERED = CALENDAR.newest_ended(datetime.now(UTC))
DRIFTED = CALENDAR.before(RECOVERED)
QUIET = CALENDAR.before(DRIFTED)
CONFIG = configuration(
    monitoring_window="month",
    start_date=str(QUIET.first_day),
    maximum_training_days=1,
    date_column="month",
    vertex={
        **PLACES,
        "prediction_dataset": None,
        "prediction_query": QUERY,
        "pipeline_parameters": {"note": "{first_day} to {last_day}"},
    },
)


class QueryLoop(GcpLoop):
    """A table of months, in the second of which a merchant has another name."""

    def __init__(
        self,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        stack: ExitStack,
        config: MonitoringConfig = CONFIG,
    ) -> None:
        super().__init__(directory, monkeypatch, stack, config)
        self.bigquery = stack.enter_context(LoopbackBigQuery(self.vertex.tables))
        key_file = directory / "key.json"
        self.bigquery.write_key_file(key_file)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", self.bigquery.url)
        for window, merchant in (
            (QUIET, "Migros"),
            (DRIFTED, "Migrolino"),
            (RECOVERED, "Migrolino"),
        ):
            self.vertex.tables.insert(TABLE, rows(window, merchant))
        self.vertex.buckets.write_csv("gs://transak-i1/training/1.csv", rows(QUIET, "Migros"))

    def train(self, job: PipelineJob) -> None:
        last_day = str(dict(job.runtime_config.parameter_values)["last_day"])
        (monitor,) = self.vertex.monitoring.monitors()
        model = monitor.model_monitoring_target.vertex_model.model
        name = self.config.model_name
        version = self.vertex.models.upload(name, parent_model=model, pipeline_job=job.name)
        month = int(last_day[:7].replace("-", ""))
        columns, found = self.vertex.tables.rows(f"SELECT * FROM `{TABLE}` WHERE month = {month}")
        uri = f"gs://transak-i1/training/{version.version_id}.csv"
        self.vertex.buckets.write_csv(uri, [dict(zip(columns, row, strict=True)) for row in found])


def rows(window: Window, merchant: str) -> list[dict[str, object]]:
    month = int(f"{window.first_day:%Y%m}")
    return [
        {
            "month": month,
            "type": ("Card", "Twint", "Debit")[n % 3],
            "description": merchant if n % 5 < 2 else ("Coop", "SBB")[n % 2],
            "amount": 5 * (n % 40),
        }
        for n in range(ROWS)
    ]


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QueryLoop]:
    with ExitStack() as stack:
        yield QueryLoop(tmp_path, monkeypatch, stack)


def test_a_month_by_query_is_reported_and_its_drift_trains_once(loop: QueryLoop) -> None:
    loop.run_job(PREPARE_JOB)
    trained, verdicts = [], {}
    for window in (QUIET, DRIFTED, RECOVERED):
        loop.run_job("monthly_monitoring", window.key)
        # However often the sensors look, and whichever of message and poll comes first.
        for _ in range(2):
            trained += loop.tick_messages()
            loop.results.tick()
        report = loop.newest(REPORT, window.key)
        assert report is not None
        verdicts[window] = report["verdict"]
        landed = loop.newest(NAMES.asset(TRANSACTIONS), window.key)
        assert landed is not None
        assert landed["dagster/row_count"] == ROWS
    assert verdicts == {
        QUIET: "no drift",
        DRIFTED: "drift in description",
        RECOVERED: "no drift",
    }

    requests = [
        item.model_monitoring_job for item in loop.vertex.requests("CreateModelMonitoringJob")
    ]
    for window, job in zip((QUIET, DRIFTED, RECOVERED), requests, strict=True):
        target = job.model_monitoring_spec.objective_spec.target_dataset
        source = target.columnized_dataset.bigquery_source
        assert source.query == QUERY.replace("{yyyymm}", f"{window.first_day:%Y%m}")
        assert not source.table_uri
        assert not target.columnized_dataset.timestamp_field
        assert "time_interval" not in target
        assert "time_offset" not in target
    run = loop.newest(NAMES.asset(MONITORING_RUN), DRIFTED.key)
    assert run is not None
    job_id = str(run["monitoring job"]).rpartition("/")[2]
    assert job_id.startswith(f"month-{DRIFTED.first_day:%Y%m}-")

    assert [key.rpartition("/")[2] for key in trained] == [job_id]
    (pipeline,) = loop.vertex.pipelines.jobs()
    parameters = dict(pipeline.runtime_config.parameter_values)
    days = str(DRIFTED.first_day), str(DRIFTED.last_day)
    assert (parameters["first_day"], parameters["last_day"]) == days
    assert parameters["note"] == " to ".join(days)
    assert loop.everything_is_acknowledged()


def test_a_month_by_query_waits_for_its_labels_and_a_check_lets_it_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The interval in which the labels of a query are not counted again never ends here.
    monkeypatch.setattr("transak_drift.vertex.platform._LABEL_INTERVAL_SECONDS", float("inf"))
    query = QUERY.replace("amount", "amount, category")
    config = CONFIG.model_copy(
        update={
            "vertex": CONFIG.vertex.model_copy(update={"prediction_query": query}),
            "labels": LabelPolicy(expected=("food",)),
        }
    )
    with ExitStack() as stack:
        loop = QueryLoop(tmp_path, monkeypatch, stack, config)

        def label(category: str) -> None:
            rows = f"SELECT * EXCLUDE (category), {category} AS category FROM"
            loop.vertex.tables.create(TABLE, f'{rows} "{TABLE}"')

        loop.vertex.tables.create(TABLE, f"SELECT *, 'food' AS category FROM \"{TABLE}\"")
        label("CASE WHEN description = 'Migrolino' THEN NULL ELSE 'food' END")
        loop.run_job(PREPARE_JOB)
        loop.run_job("monthly_monitoring", DRIFTED.key)
        for _ in range(2):
            assert loop.tick_messages() == []
            loop.results.tick()
        [event] = document("status")["open_drift_events"]
        assert event["state"] == "awaiting labels"
        assert "180 of 300 rows have a label in 'category' (60.0%)" in event["detail"]
        assert "without one, by description: 'Migrolino' (120)" in event["detail"]

        label("'food'")
        counted = len(loop.bigquery.queries)
        assert loop.tick_messages() == []
        assert len(loop.bigquery.queries) == counted
        [checked] = document("labels", "check")
        assert checked["state"] == "labels complete"
        assert loop.tick_messages() == [checked["drift_event"]]
        assert loop.tick_messages() == []
        assert len(loop.vertex.pipelines.jobs()) == 1
