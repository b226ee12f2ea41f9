"""Back to an earlier version: real registry, real trainings, and no training loop after it."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from filelock import FileLock

from transak_drift.cli import rollback as command
from transak_drift.cli.main import app
from transak_drift.definitions import build_definitions, platform_resource, trigger_queue_resource
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import read_records, write_records
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.keys import ModelNames
from transak_drift.defs.recorded_reports import read_drift_history
from transak_drift.local.model_registry import ModelRegistry
from transak_drift.local.state_directory import StateDirectory
from transak_drift.platform import PlatformError
from transak_drift.settings import load_settings
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.cli.commands import call, document
from transak_drift_tests.config.configurations import document as config_document
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.trigger.drift_messages import drift_event
from transak_drift_tests.warm_processes import WarmProcess

NAMES = ModelNames()
START = date(2026, 3, 5)
DAYS = [START + timedelta(days=n) for n in range(4)]
# The baseline's days, before the first that is monitored, and what no one has seen before.
BEFORE = [START - timedelta(days=n) for n in (4, 3, 2, 1)]
SHOPS = {"Coop City": "food", "Migros Basel": "food", "SBB Ticket": "travel", "Swisscom": "phone"}
NEW = {"Lidl Bern": "discount", "Aldi Chur": "discount", "Uber Trip": "taxi"}


class Project:
    """A working directory in which each monitored day drifts from the days before."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        self.directory = directory
        self.instance = instance
        self.settings = load_settings()
        self.config = self.settings.load_config()
        self.definitions = build_definitions(self.settings, [self.config])
        sensor = self.definitions.resolve_sensor_def(SENSOR_NAME)
        resources = {
            "platform": platform_resource(self.settings),
            "trigger_queue": trigger_queue_resource(self.settings),
        }
        self.ticks = SensorTicks(instance, sensor, resources)

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(StateDirectory(self.settings.home, self.config).registry)

    def champion(self) -> int | None:
        champion = self.registry.champion()
        return None if champion is None else champion.number

    def monitor(self, first: date, last: date) -> None:
        document("backfill", "--from", str(first), "--until", str(last), "--again")

    def train_what_drifted(self) -> int:
        """Tick until nothing is requested; returns how many trainings ran."""
        trainings = 0
        while requested := self.ticks.tick_and_train(self.definitions):
            trainings += len(requested)
            assert trainings < 10
        return trainings

    def outcomes(self) -> dict[str, OutcomeKind]:
        """Return the newest step of each drift event, by its monitoring job."""
        found = read_records(self.instance, NAMES.asset(keys.DRIFT_EVENT))
        steps = [record for _, records in found for record in records if record.event]
        return {record.key.partition("/")[2]: record.kind for record in steps}

    def recorded(self) -> list[dict[str, Any]]:
        """Return the rollbacks of the event log, oldest first."""
        key = NAMES.asset(keys.REGISTERED_MODEL)
        records = self.instance.fetch_observations(key, limit=50, ascending=True).records
        observed = [item.asset_observation for item in records if item.asset_observation]
        values: list[Any] = [item.metadata[keys.ROLLBACK_METADATA].value for item in observed]
        return values

    def baselines(self) -> list[tuple[str, bool]]:
        """Return the version of each baseline, oldest first, and whether it is a rollback's."""
        key = NAMES.asset(keys.BASELINE_DATASET)
        records = self.instance.fetch_materializations(key, limit=50, ascending=True).records
        made = [item.asset_materialization for item in records if item.asset_materialization]
        return [
            (str(item.metadata["model version"].value), keys.ROLLBACK_METADATA in item.metadata)
            for item in made
        ]


@pytest.fixture
def loop(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose second version has learned from the first drifted day."""
    with (project / "transactions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("date", "description", "type", "category"))
        for day in [*BEFORE, *DAYS]:
            shops = {**SHOPS, **NEW} if day >= START else SHOPS
            for number in range(140):
                shop = list(shops)[number % len(shops)]
                kind = "Card" if shop in SHOPS else "Twint"
                writer.writerow((day, f"{shop} {number % 3}", kind, shops[shop]))
    policy = {"maximum_trainings_per_drift": 2}
    changed = config_document(start_date=str(START), retrain_policy=policy)
    (project / "monitoring_config.json").write_text(json.dumps(changed))
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", str(project / "monitoring_config.json"))
    monkeypatch.setenv("TRANSAK_DRIFT_TRANSACTIONS", str(project / "transactions.csv"))
    document("backfill", "--from", str(DAYS[0]), "--until", str(DAYS[0]))
    home = str(project / "state" / "dagster_home")
    with dg.DagsterInstance.from_config(home) as instance:
        loop = Project(project, instance)
        assert loop.train_what_drifted() == 1
        assert loop.champion() == 2
        yield loop


def roll_back_and_die(step: str, after: bool) -> None:
    """Roll back to version 1, and be killed before a step, or after it."""
    original = vars(command)[step]

    def die(*arguments: Any) -> None:
        if after:
            original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    vars(command)[step] = die
    app(["rollback", "1", "--reason", "killed"])


def test_a_rollback_is_recorded_once_wherever_it_is_killed_and_the_drift_it_brings_back_is_no_loop(
    loop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    what_is_wrong_is_refused(loop)
    killed_anywhere_it_goes_on_with_one_record(loop)
    the_drift_that_it_brings_back_trains_no_more_than_allowed(loop)

    (loop.registry.directory / "1.statistics").unlink()
    for path in (loop.settings.home / "models").rglob(f"date={BEFORE[0]}/*"):
        path.unlink()
    gone = loop.directory / "gone.csv"
    gone.write_text("date,description,type,category\n2026-03-05,a,b,c\n")
    monkeypatch.setenv("TRANSAK_DRIFT_TRANSACTIONS", str(gone))
    refuse(loop, "1", "the data that version 1 was trained on, its baseline, cannot be read")


def refuse(loop: Project, version: str, sentence: str, reason: str = "wrong") -> None:
    before = (loop.champion(), loop.recorded(), loop.baselines())
    with pytest.raises(PlatformError, match=sentence):
        call("rollback", version, "--reason", reason)
    assert (loop.champion(), loop.recorded(), loop.baselines()) == before


def what_is_wrong_is_refused(loop: Project) -> None:
    assert call("rollback", "1").exit_code == 2
    refuse(loop, "1", "--reason is empty", reason=" \n")
    refuse(loop, "7", "has no version '7'; its versions: 1, 2")
    refuse(loop, "2", "version 2 of transak-i1-train-model predicts already")
    run = loop.instance.create_run_for_job(loop.definitions.resolve_job_def(keys.RETRAIN_JOB))
    refuse(loop, "1", rf"a training is in flight \(run {run.run_id} of retrain\)")
    loop.instance.delete_run(run.run_id)
    home = loop.settings.home / "dagster_home"
    with FileLock(home / f"rollback_of_{loop.config.model_monitor_id}.lock"):
        refuse(loop, "1", "another rollback of this model runs")
    model = loop.registry.directory / "1.model"
    kept = model.read_bytes()
    model.write_bytes(kept[:-1])
    refuse(loop, "1", r"1\.model has SHA-256")
    model.unlink()
    refuse(loop, "1", r"1\.model is missing")
    model.write_bytes(kept)


def killed_anywhere_it_goes_on_with_one_record(loop: Project) -> None:
    steps = [
        ("write_rollback", False, 2, 0),
        ("write_rollback", True, 2, 1),
        ("write_baseline", False, 1, 1),
        ("write_baseline", True, 1, 1),
    ]
    log = loop.directory / "killed.log"
    for step, after, champion, records in steps:
        process = WarmProcess(
            *(roll_back_and_die, step, after), environment={**os.environ}, log_file=log
        )
        assert process.wait(120) == -signal.SIGKILL, log.read_text()
        assert loop.champion() == champion
        assert len(loop.recorded()) == records
    said = [document("rollback", "1", "--reason", "and again") for _ in range(2)]
    assert [(item["is_new"], item["reason"]) for item in said] == [(False, "killed")] * 2
    assert "this was recorded before" in call("rollback", "1", "--reason", "x").stdout
    assert (loop.champion(), len(loop.recorded())) == (1, 1)
    assert loop.baselines() == [("2", False), ("1", True)]
    # And forth again, which is another.
    assert document("rollback", "2", "--reason", "it was right")["is_new"]
    assert (loop.champion(), len(loop.recorded())) == (2, 2)


def the_drift_that_it_brings_back_trains_no_more_than_allowed(loop: Project) -> None:
    said = document("rollback", "1", "--reason", "categories\nwere wrong", "--by", "Ada")
    assert said["is_new"]
    assert (said["champion_before"], said["champion_after"]) == ("2", "1")
    assert loop.champion() == 1
    recorded = loop.recorded()[-1]
    assert recorded["reason"] == "categories were wrong"
    assert recorded["by"].startswith("Ada (system user ")
    [of_training, *_, of_rollback] = read_drift_history(loop.instance, NAMES).promotions
    assert (of_training.day, of_training.version) == (DAYS[1], "2")
    today = datetime.now(UTC).date()
    assert of_rollback.version == "1 (rollback)"
    assert abs((of_rollback.day - today).days) <= 1
    champions = {item["version"]: item["champion"] for item in document("status")["model_versions"]}
    assert champions == {1: "yes", 2: ""}

    # What the undone version was trained for does not train by itself, found again or not. The
    # drift of a later window is there again: a second training answers it.
    undone = drift_event("found-again", end=datetime(2026, 3, 6, tzinfo=UTC))
    record = TriggerRecord(
        kind=OutcomeKind.DRIFT, key=undone.key, detail="", at=datetime.now(UTC), event=undone
    )
    write_records(loop.instance, NAMES.asset(keys.DRIFT_EVENT), [record])
    assert loop.train_what_drifted() == 0
    assert loop.outcomes()["found-again"] == OutcomeKind.ESCALATED
    loop.monitor(DAYS[0], DAYS[1])
    assert loop.train_what_drifted() == 1
    assert loop.champion() == 3

    # After a second rollback none, until a person approves it: once, which answers the others.
    document("rollback", "1", "--reason", "wrong again")
    loop.monitor(DAYS[2], DAYS[3])
    assert loop.train_what_drifted() == 0
    kinds = loop.outcomes()
    assert kinds["20260307-baseline-1"] == kinds["20260308-baseline-1"] == OutcomeKind.ESCALATED
    assert loop.champion() == 1
    assert [item["champion_before"] for item in loop.recorded()][-2:] == ["2", "3"]
    document("approve", "20260307-baseline-1", "--reason", "now it is right")
    assert loop.train_what_drifted() == 1
    assert loop.champion() == 4
    assert loop.train_what_drifted() == 0
    assert loop.outcomes()["20260307-baseline-1"] == OutcomeKind.SUPERSEDED
