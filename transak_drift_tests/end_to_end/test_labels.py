"""A drifted month whose new merchant has no labels waits, and trains by itself once it has them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from transak_drift.cli.dagster_home import dagster_home
from transak_drift.defs.drift_event_log import read_all_records
from transak_drift.defs.drift_message_sensor import TickBounds, build_drift_message_sensor
from transak_drift.defs.keys import DRIFT_EVENT, PREPARE_JOB, RETRAIN_JOB, TRAINED_MODEL
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.settings import load_settings
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.cli.commands import call, document
from transak_drift_tests.config.configurations import document as config_document
from transak_drift_tests.end_to_end.test_own_months import (
    NAMES,
    RENAMED,
    Project,
    month_of,
    project,
)

__all__ = ["project"]

MERCHANT = "MGB Filiale 27"
MONTHS = ["2025-03", "2025-04", "2025-05", RENAMED]


def write_month(directory: Path, month: str, without_label: str = "", **labels: str) -> int:
    """Write a month's file as people do who label; returns how many rows have no label."""
    rows = month_of(MONTHS.index(month), month)
    rows["category"] = rows["category"].replace(labels)
    rows.loc[rows["description"] == without_label, "category"] = None
    directory.mkdir(exist_ok=True)
    rows.to_csv(directory / f"{month}.csv", index=False)
    return int(rows["category"].isna().sum())


def newest_observation(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Return the metadata of what Dagster shows as the newest step of a drift event."""
    [record] = instance.fetch_observations(NAMES.asset(DRIFT_EVENT), limit=1).records
    assert record.asset_observation is not None
    return dict(record.asset_observation.metadata)


def steps(instance: dg.DagsterInstance) -> list[TriggerRecord]:
    return list(read_all_records(instance, NAMES.asset(DRIFT_EVENT)))


def test_a_month_waits_for_the_labels_of_its_new_merchant_and_then_trains_once(
    project: Path,
) -> None:
    config = config_document(
        labels={"minimum_per_class": 5},
        drift_thresholds={"description": 0.3},
        training={"time_budget_seconds": 1},
    )
    (project / "monitoring_config.json").write_text(json.dumps(config))
    months = project / "months"
    for month in MONTHS[:-1]:
        write_month(months, month)
    lacking = write_month(months, RENAMED, without_label=MERCHANT)
    file = months / f"{RENAMED}.csv"
    rows = len(pd.read_csv(file))
    server = ensure_embedded_pubsub(project / "state" / "pubsub")
    home = dagster_home(load_settings().home)
    with dg.DagsterInstance.from_config(str(home)) as instance, server:
        loaded = Project(instance)
        loaded.jobs.run(PREPARE_JOB)
        loaded.monitor(RENAMED)
        retrain = loaded.definitions.resolve_job_def(RETRAIN_JOB)
        # A tick without a message would wait two seconds for one.
        quick = TickBounds(wait_seconds=0.2)
        loaded.sensor.sensor = build_drift_message_sensor([loaded.config], [retrain], 1, quick)
        while not steps(instance):
            assert loaded.sensor.tick().run_requests == []
        [drift, waits] = steps(instance)
        assert (drift.kind, waits.kind) == (OutcomeKind.DRIFT, OutcomeKind.AWAITING_LABELS)
        assert f"without one, by description: '{MERCHANT}' ({lacking})" in waits.detail
        assert f"{rows - lacking} of {rows} rows have a label in 'category' (" in waits.detail
        assert "at least 95.0% are needed" in waits.detail
        shown = newest_observation(instance)
        assert [it.data for it in shown["without a label"].records] == [
            {"description": MERCHANT, "rows": lacking}
        ]

        # It is told to people, and the file is left alone as long as it is as it was: what stands
        # in it now would be another verdict.
        [event] = document("status")["open_drift_events"]
        assert (event["state"], event["detail"]) == ("awaiting labels", waits.detail)
        before, stat = file.read_bytes(), file.stat()
        file.write_bytes(b"x" * len(before))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert loaded.sensor.tick().run_requests == []
        file.write_bytes(before)
        assert len(steps(instance)) == 2

        # A label that the champion does not know is not what was waited for.
        write_month(months, RENAMED, groceries="grocery")
        result = call("labels", "check")
        assert result.exit_code == 1
        said = " ".join(result.stdout.split())
        assert f"awaiting labels: {config['model_name']}, {RENAMED}" in said
        assert "labels that the champion does not know: 'grocery'" in said
        assert "classes with fewer than 5 labelled rows: 'groceries' (0)" in said
        assert loaded.sensor.tick().run_requests == []
        assert [step.kind for step in steps(instance)[2:]] == [OutcomeKind.AWAITING_LABELS]

        write_month(months, RENAMED)
        [found] = document("labels", "check")
        assert (found["state"], found["window"]) == ("labels complete", RENAMED)
        assert found["labels"]["labelled"] == found["labels"]["rows"] == rows
        [key] = loaded.sensor.tick_and_train(loaded.definitions)
        trained = loaded.recorded(TRAINED_MODEL)
        assert (trained["drift event"], trained["promoted"], key) == (key, True, drift.key)
        assert loaded.sensor.tick_and_train(loaded.definitions) == []
        assert document("labels", "check") == []
        predicted = predictions_of(loaded, MERCHANT)
        assert predicted == {"groceries"}


def predictions_of(loaded: Project, merchant: str) -> set[Any]:
    """Return what the champion says of a merchant's rows in the month that drifted."""
    platform = loaded.definitions.resources["platform"].open(loaded.config)  # ty: ignore
    window = loaded.config.windows.parse(RENAMED)
    rows = pd.read_parquet(platform.predict(loaded.config, window).dataset.uri)
    return set(rows.loc[rows["description"] == merchant, "predicted_category"])
