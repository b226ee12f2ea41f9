"""A person decides by command or job: what is recorded, and what is said where nothing is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from transak_drift.cli.dagster_home import make_dagster_home
from transak_drift.config.model_configs import MODELS_FOLDER
from transak_drift.definitions import build_definitions
from transak_drift.defs.approval import DecisionConfig, decide_event
from transak_drift.defs.drift_event_log import read_all_records, write_records
from transak_drift.defs.keys import DRIFT_EVENT, ModelNames
from transak_drift.defs.metadata import failure_message
from transak_drift.settings import Settings
from transak_drift.trigger.approval import Decision, UndecidableError
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.cli.commands import call, document
from transak_drift_tests.config.configurations import document as config_document
from transak_drift_tests.defs.sensor_ticks import QUIET_RUN
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, drift_event

MANUAL = {"retrain_policy": {"approval": "manual"}, "start_date": str(date(2026, 3, 2))}
SECOND = {"model_name": "cards", "monitoring_job_display_name": "cards"}
CARDS = "cards"


class Waiting:
    """Two models of which drift events await approval, in a Dagster home of their own."""

    def __init__(self, directory: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        file = directory / "monitoring_config.json"
        file.write_text(json.dumps(config_document(**MANUAL)))
        (directory / MODELS_FOLDER).mkdir()
        second = config_document(**MANUAL, **SECOND)
        (directory / MODELS_FOLDER / "cards.json").write_text(json.dumps(second))
        self.settings = Settings(config=file, home=directory / "state")
        self.configs = self.settings.load_configs()

    def record(
        self,
        job: str,
        *kinds: OutcomeKind,
        day: int = 1,
        model: str | None = None,
        age: timedelta = timedelta(0),
    ) -> str:
        monitor = MONITOR if model is None else self.configs[1].model_monitor_id
        event = drift_event(job, end=MAY_1 + timedelta(days=day), monitor=monitor)
        for kind in (OutcomeKind.DRIFT, *(kinds or (OutcomeKind.AWAITING_APPROVAL,))):
            at = datetime.now(UTC) - age
            item = TriggerRecord(kind=kind, key=event.key, detail="why", at=at, event=event)
            write_records(self.instance, ModelNames(model).asset(DRIFT_EVENT), [item])
        return event.key

    def steps(self, key: str, model: str | None = None) -> list[TriggerRecord]:
        log = read_all_records(self.instance, ModelNames(model).asset(DRIFT_EVENT))
        return [record for record in log if record.key == key]

    def decide(
        self, event: str, decision: Decision, reason: str = "", by: str = "anna"
    ) -> list[str]:
        found = decide_event(self.instance, self.configs, event, decision, reason, by)
        return [record.key for record in found]

    def launch(
        self, tags: dict[str, str] | None = None, **config: str
    ) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(self.settings, self.configs)
        job = definitions.resolve_job_def("decide_drift_event")
        ops = {"ops": {"decide": {"config": config}}} if config else {}
        return job.execute_in_process(
            run_config={**ops, **QUIET_RUN} if config else None,
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
        )


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    home = make_dagster_home(tmp_path / "dagster_home")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", str(tmp_path / "monitoring_config.json"))
    monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(tmp_path / "state"))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield Waiting(tmp_path, instance)


def test_an_approval_of_an_older_event_is_one_of_the_newest_that_waits(waiting: Waiting) -> None:
    older, newest = waiting.record("a", day=1), waiting.record("b", day=3)
    result = call("approve", "a", "--by", "anna", "--reason", "für neue\nHändler")
    assert result.exit_code == 0, result.output
    assert f"approved: {newest} (description 0.6000 > 0.3), by anna (system user" in result.stdout
    assert "a is older: this training answers it as well" in result.stdout
    [approved] = [step for step in waiting.steps(newest) if step.kind == OutcomeKind.APPROVED]
    assert approved.by.startswith("anna (system user")
    assert (approved.reason, approved.messages) == ("für neue Händler", 0)
    for event in ("a", older, "b"):
        with pytest.raises(UndecidableError, match="approved"):
            waiting.decide(event, Decision.approve)
    assert len(waiting.steps(older)) == 2 and len(waiting.steps(newest)) == 3
    # What is older may still be declined, by itself.
    said = document("decline", "a", "--reason", "a holiday")
    assert [(item["key"], item["kind"]) for item in said] == [(older, "declined")]
    result = call("approve", "a")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "was declined at" in result.stderr and "a holiday" in result.stderr


def test_what_is_named_by_nothing_that_waits_is_said(waiting: Waiting) -> None:
    assert "no drift event awaits approval" in call("approve", "newest").stderr
    assert "no drift event 'x' is known" in call("approve", "x").stderr
    waiting.record("a")
    waiting.record("a", model=CARDS)
    for name in ("a", "newest"):
        result = call("approve", name)
        assert result.exit_code == 1
        assert f"name one of cards/a, {MONITOR}/a" in result.stderr.replace("\n", " ")
    result = call("decline", "a", "--reason", " ", "--model", "cards")
    assert "a decline needs a reason" in result.stderr
    assert call("approve", "newest", "--model", "cards").exit_code == 0
    assert waiting.steps("cards/a", CARDS)[-1].kind == OutcomeKind.APPROVED
    assert waiting.steps(f"{MONITOR}/a")[-1].kind == OutcomeKind.AWAITING_APPROVAL


def test_who_was_slower_is_told_what_counts(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = waiting.record("a")
    written = write_records

    def write(
        instance: dg.DagsterInstance, asset: dg.AssetKey, records: list[TriggerRecord]
    ) -> None:
        # Between what this person saw and what is written, another decides.
        with monkeypatch.context() as patch:
            patch.setattr("transak_drift.defs.approval.write_records", written)
            waiting.decide("a", Decision.decline, "no", "ben")
        written(instance, asset, records)

    monkeypatch.setattr("transak_drift.defs.approval.write_records", write)
    with pytest.raises(
        UndecidableError, match=r"was declined at .* by ben: no; your decision came"
    ):
        waiting.decide("a", Decision.approve)
    assert [step.kind for step in waiting.steps(key)][2:] == ["declined", "approved"]


def test_the_job_decides_once_and_fails_plainly(waiting: Waiting) -> None:
    older, newest = waiting.record("a", day=1), waiting.record("b", OutcomeKind.ESCALATED, day=2)
    run = waiting.launch({"user": "anna@example.com" * 99})
    assert run.success
    approved = waiting.steps(newest)[-1]
    assert approved.kind == OutcomeKind.APPROVED
    assert approved.by.startswith("anna@example.com")
    assert approved.by.endswith(f", run {run.run_id[:8]}")
    # Executed again after a crash it must not go on to the next event.
    assert waiting.launch({"dagster/root_run_id": run.run_id}).success
    assert len(waiting.steps(older)) == 2

    config = {"event": f" {older} ", "decision": "decline", "by": "ben"}
    for reason, sentence in (("", "a decline needs a reason"), ("a holiday", "")):
        run = waiting.launch(None, **config, reason=reason)
        said = [failure_message(x) or "" for x in run.all_events if x.is_step_failure]
        assert [sentence in text for text in said] == [True] * bool(sentence)
    declined = waiting.steps(older)[-1]
    assert (declined.kind, declined.reason) == (OutcomeKind.DECLINED, "a holiday")
    assert declined.by == f"ben, run {run.run_id[:8]}"
    # What came too late is said again when it is executed again.
    late = declined.model_copy(update={"kind": OutcomeKind.APPROVED, "by": "x, run 12345678"})
    write_records(waiting.instance, ModelNames().asset(DRIFT_EVENT), [late])
    run = waiting.launch({"dagster/root_run_id": "12345678-1234"})
    [said] = [failure_message(x) or "" for x in run.all_events if x.is_step_failure]
    assert "by ben" in said and "your decision came too late" in said


def test_the_job_is_there_for_each_model(waiting: Waiting) -> None:
    repository = build_definitions(waiting.settings, waiting.configs).get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if "decide" in job.name}
    assert jobs == {"decide_drift_event", "cards_decide_drift_event"}
    assert DecisionConfig().event == "newest"


def test_dagster_shows_how_to_decide_the_newest_of_several_that_wait(waiting: Waiting) -> None:
    events = [
        drift_event(job, end=MAY_1 + timedelta(days=day)) for job, day in (("b", 3), ("a", 1))
    ]
    asset = ModelNames(CARDS).asset(DRIFT_EVENT)
    for kind in (OutcomeKind.AWAITING_APPROVAL, OutcomeKind.ESCALATED, OutcomeKind.DRIFT):
        records = [
            TriggerRecord(kind=kind, key=event.key, detail="why", at=MAY_1, event=event)
            for event in events
        ]
        write_records(waiting.instance, asset, records)
        [found] = waiting.instance.fetch_observations(asset, limit=1).records
        assert found.asset_observation is not None
        shown = found.asset_observation.metadata
        if kind == OutcomeKind.DRIFT:
            assert "approve" not in shown
            continue
        assert "cards_decide_drift_event" in str(shown["approve"].value)
        assert str(shown["or by command"].value).startswith(f"transak-drift approve {MONITOR}/b | ")


def test_the_status_says_how_long_an_event_waits_and_how_to_decide(
    waiting: Waiting,
) -> None:
    waiting.record("a", age=timedelta(days=2, hours=5))
    said = call("status", "--model", waiting.configs[0].model_name).stdout
    # A narrow terminal breaks a cell's words.
    assert "awaiting" in said and "approval" in said and "2 d 5 h" in said
    assert "a person decides, with transak-drift approve newest or" in said
