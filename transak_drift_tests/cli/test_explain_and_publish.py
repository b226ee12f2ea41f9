"""`explain` and `publish-drift` on monitoring jobs that the local platform really ran."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.drift.drift_event import DriftedFeature, DriftEvent
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.platform import PlatformError
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.settings import load_settings
from transak_drift.trigger.log_entry import MessageShape, drift_message
from transak_drift_tests.cli.commands import call, document, monitor
from transak_drift_tests.config.configurations import CONFIG_FILE
from transak_drift_tests.config.configurations import document as config_document

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
QUIET_DAY = YESTERDAY - timedelta(days=1)


class Home(NamedTuple):
    """A home with the jobs of a day that drifted, yesterday, and of a quiet one before."""

    path: Path
    drifted: str
    quiet: str
    queue: TriggerQueue


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "TRANSAK_DRIFT_CONFIG": str(CONFIG_FILE),
            "TRANSAK_DRIFT_HOME": str(path),
            "TRANSAK_DRIFT_ROWS_PER_DAY": "300",
            "TRANSAK_DRIFT_DRIFT_FROM": str(YESTERDAY),
        }.items():
            patch.setenv(name, value)
        for name in ("PUBSUB_EMULATOR_HOST", "DAGSTER_HOME", "TRANSAK_DRIFT_PLATFORM"):
            patch.delenv(name, raising=False)
        with ensure_embedded_pubsub(path / "pubsub", grace_seconds=1.0) as server:
            queue = TriggerQueue(connect(server.endpoint), load_settings().load_config())
            queue.ensure_exists()
            quiet, drifted = monitor(QUIET_DAY, YESTERDAY)
            acknowledge_all(queue)
            yield Home(path, drifted, quiet, queue)
            queue.close()


def explained(body: bytes | str) -> dict[str, Any]:
    return document("explain", "-", stdin=body.encode() if isinstance(body, str) else body)


def told(job: str) -> str:
    """Return a message of a job that claims a distance which no job had."""
    feature = DriftedFeature(feature="type", distance=0.99, threshold=0.3)
    now = datetime.now(UTC)
    named = parse_monitoring_job_name(job)._asdict()
    event = DriftEvent(**named, features=(feature,), window_start=None, window_end=now)
    return json.dumps(drift_message(event, MessageShape.LOG_ENTRY, now))


def contents(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if "pubsub" not in path.parts
    }


def test_a_message_is_explained_by_what_its_job_found(home: Home) -> None:
    before = contents(home.path)
    drift = explained(told(home.drifted))
    assert drift["verdict"] == "drift"
    assert drift["monitoring_job"] == home.drifted
    assert drift["drift_event"] == "/".join(home.drifted.split("/")[5::2])
    distances = {item["feature"]: item["distance"] for item in drift["features"]}
    assert set(distances) == {"description", "type"}
    assert all(0.3 < distance < 0.9 for distance in distances.values()), "not the 0.99 of the entry"
    assert all(item["threshold"] == 0.3 for item in drift["features"])

    output = call("explain", "-", stdin=json.dumps(home.drifted).encode()).output
    assert output.startswith("drift: ")
    assert "what follows: it trains once" in output
    assert home.drifted in output

    quiet = explained(told(home.quiet))
    assert (quiet["verdict"], quiet["drift_event"]) == ("not drift", None)
    assert all(item["distance"] < 0.3 for item in quiet["features"])
    assert contents(home.path) == before


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        ("job_missing", '"{job}x"'),
        ("no_monitoring_job", '{{"text": "see {job}"}}'),
        ("not_json", '"{job}'),
        ("not_utf8", "\udcff"),
        ("too_large", '["{job}", "' + "x" * 2_000_000 + '"]'),
    ],
)
def test_what_would_be_a_dead_letter(home: Home, reason: str, body: str) -> None:
    message = body.format(job=home.drifted).encode(errors="surrogateescape")
    found = explained(message)
    assert found["verdict"] == "rejected"
    assert found["reason"].startswith(f"{reason}: ")
    assert found["drift_event"] is None


def test_a_file_that_cannot_be_read_is_one_sentence(home: Home, tmp_path: Path) -> None:
    for name in ("missing.json", "."):
        result = call("explain", str(tmp_path / name))
        assert result.exit_code == 2
        assert "Invalid value for 'FILE|-'" in result.stderr


def test_without_credentials_the_verdict_is_unavailable(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSAK_DRIFT_PLATFORM", "gcp")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    found = explained(json.dumps(home.drifted))
    assert found["verdict"] == "unavailable"
    assert "there are no Google Cloud credentials" in found["reason"]


def acknowledge_all(queue: TriggerQueue) -> list[bytes]:
    bodies = []
    while messages := list(queue.pull(100, 1_000_000, 0.5)):
        queue.acknowledge([message.ack_id for message in messages])
        bodies += [message.data for message in messages]
    return bodies


@pytest.mark.parametrize("shape", list(MessageShape))
def test_published_drift_is_that_of_a_window_that_really_drifted(
    home: Home, shape: MessageShape
) -> None:
    own_files = {name: at for name, at in contents(home.path).items() if "date=" in name}
    first = document("publish-drift", "--shape", shape, "--copies", "3")
    assert (first["verdict"], first["topic"]) == ("drift", "ps-transak-i1-train-trigger")
    bodies = acknowledge_all(home.queue)
    assert len(bodies) == len(set(first["message_ids"])) == 3
    [body] = set(bodies)
    found = explained(body)
    for name in ("verdict", "monitoring_job", "drift_event"):
        assert found[name] == first[name]
    assert {name: at for name, at in contents(home.path).items() if "date=" in name} == own_files
    assert document("publish-drift")["drift_event"] != first["drift_event"]
    assert len(acknowledge_all(home.queue)) == 1


def test_a_job_without_drift_is_published_with_a_warning(home: Home) -> None:
    job_id = home.quiet.rpartition("/")[2]
    for name in (job_id, "/".join(home.quiet.split("/")[5::2]), home.quiet):
        result = call("publish-drift", "--job", name)
        assert result.exit_code == 0
        assert result.stderr.startswith("not drift: no monitored feature drifted")
        [body] = acknowledge_all(home.queue)
        assert explained(body)["verdict"] == "not drift"
        assert job_id in body.decode()
    result = call("publish-drift", "--job", "20010101-baseline-1")
    assert result.stderr.startswith("rejected: job_missing: ")
    assert "no training will follow" in result.stderr
    assert len(acknowledge_all(home.queue)) == 1


def test_what_is_no_job_is_not_published(home: Home) -> None:
    for wrong in ("a b", "projects/p/jobs/j", "a/b/c", "x" * 80):
        with pytest.raises(PlatformError, match="is no monitoring job; name its id"):
            call("publish-drift", "--job", wrong)
    assert acknowledge_all(home.queue) == []


def test_thresholds_that_nothing_generated_exceeds_are_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config_document(drift_thresholds={"type": 0.99})))
    monkeypatch.setenv("TRANSAK_DRIFT_CONFIG", str(file))
    with pytest.raises(PlatformError, match=r"no generated window drifts .*lower drift_thresholds"):
        call("publish-drift")


def test_with_own_data_the_newest_window_that_drifted_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    data, days = tmp_path / "data", [QUIET_DAY - timedelta(days=n) for n in range(4)]
    data.mkdir()
    for number, day in enumerate(reversed(days)):
        rows = ["NEW SHOP,card" if number == 2 else "OLD SHOP,cash", "PLACE,cash"]
        (data / f"{day}.csv").write_text("\n".join(["description,type", *rows * 20]))
    monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TRANSAK_DRIFT_TRANSACTIONS", str(data))
    with pytest.raises(PlatformError, match=r"no window of .* was monitored yet; monitor windows"):
        call("publish-drift")
    quiet, drifted, after = monitor(days[2], days[1], days[0])
    assert quiet != drifted != after
    said = document("publish-drift")
    assert (said["monitoring_job"], said["verdict"]) == (drifted, "drift")
