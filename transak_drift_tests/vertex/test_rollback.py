"""An earlier version of the registry predicts again, and is monitored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import dagster as dg
import grpc
import pytest

from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames
from transak_drift.platform import PlatformError
from transak_drift_tests.cli.commands import call, document
from transak_drift_tests.servers.clients import (
    apply_monitors,
    monitored_config,
    rows,
    use_gcp_platform,
)
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage

CONFIG = monitored_config(model_alias="production")
NAMES = ModelNames()
Update = Literal["accepted", "refused", "ignored"]


class Cloud:
    """A model of three versions, of which the second is monitored and predicts."""

    def __init__(self, vertex: LoopbackVertex, directory: Path) -> None:
        self.vertex = vertex
        self.home = directory / "home" / "dagster_home"
        self.model = vertex.models.upload(CONFIG.model_name).name
        for version in ("1", "2", "3"):
            if version != "1":
                vertex.models.upload(CONFIG.model_name, parent_model=self.model, is_default=False)
            vertex.buckets.write_csv(f"gs://transak-i1/training/{version}.csv", rows(50))
        for version in ("1", "2"):
            vertex.models.set_alias(self.model, "production", version)
            apply_monitors(vertex.endpoint, CONFIG)

    def aliases(self) -> dict[str, list[str]]:
        versions = self.vertex.models.versions(self.model)
        return {item.version_id: sorted(item.version_aliases) for item in versions}

    def monitored(self) -> dict[str, str]:
        """Return the baseline of each version that has a monitor."""
        return {
            item.model_monitoring_target.vertex_model.model_version_id: str(
                item.training_dataset.columnized_dataset.gcs_source.gcs_uri
            )
            for item in self.vertex.monitoring.monitors()
        }

    def records(self) -> tuple[list[str], list[str]]:
        """Return who was before and after in each observation, and the versions of baselines."""
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            observed = instance.fetch_observations(NAMES.asset(keys.REGISTERED_MODEL), limit=9)
            made = instance.fetch_materializations(NAMES.asset(keys.BASELINE_DATASET), limit=9)
            found = [r.asset_observation for r in observed.records if r.asset_observation]
            baselines = [r.asset_materialization for r in made.records if r.asset_materialization]
            names = ("version before", "version")
            return (
                ["-".join(str(x.metadata[name].value) for name in names) for x in found],
                [str(x.metadata["model version"].value) for x in baselines],
            )


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with LoopbackVertex(tmp_path / "b") as server, LoopbackStorage(server.buckets) as storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        monkeypatch.setenv("TRANSAK_DRIFT_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        file = tmp_path / "monitoring_config.json"
        use_gcp_platform(monkeypatch, file, CONFIG, server.endpoint)
        yield Cloud(server, tmp_path)


@pytest.mark.parametrize("target_update", ["accepted", "refused", "ignored"])
def test_the_alias_moves_and_the_monitor_follows(cloud: Cloud, target_update: Update) -> None:
    cloud.vertex.monitoring.target_update = target_update
    assert document("rollback", "1", "--reason", "wrong")["champion_before"] == "2"
    aliases = cloud.aliases()
    assert aliases.pop("1") == ["default", "production"]
    assert "production" not in [name for names in aliases.values() for name in names]
    assert "training/1.csv" in cloud.monitored()["1"]
    assert cloud.records() == (["2-1"], ["1"])
    assert not document("rollback", "1", "--reason", "again")["is_new"]
    assert cloud.records() == (["2-1"], ["1"])
    merges = [c for c in cloud.vertex.calls if c.method.endswith("MergeVersionAliases")]
    assert len(merges) == 1


def test_a_rollback_that_vertex_ai_cuts_off_goes_on(cloud: Cloud) -> None:
    faults, denied = cloud.vertex.faults, grpc.StatusCode.PERMISSION_DENIED
    faults.refuse("MergeVersionAliases", denied, 1)
    with pytest.raises(PlatformError, match=r"lacks aiplatform\.models\.update on .*models/1001"):
        call("rollback", "1", "--reason", "wrong")
    assert "production" in cloud.aliases()["2"]
    faults.refuse("UpdateModelMonitor", denied, 1)
    with pytest.raises(PlatformError, match=r"lacks aiplatform\.modelMonitors\.update"):
        call("rollback", "1", "--reason", "wrong")
    assert "production" in cloud.aliases()["1"]
    assert cloud.records() == (["2-1"], [])
    assert not document("rollback", "1", "--reason", "wrong")["is_new"]
    assert "training/1.csv" in cloud.monitored()["1"]
    assert cloud.records() == (["2-1"], ["1"])


def test_what_cannot_be_rolled_back_to_is_refused(cloud: Cloud) -> None:
    before = cloud.aliases()
    cloud.vertex.buckets.path("gs://transak-i1/training/1.csv").unlink()
    for version, sentence in {
        "9": r"models/1001 has no version '9'; it has 1, 2, 3",
        "2": "version 2 of .* predicts already",
        "1": r"the data that version 1 was trained on, its baseline, cannot be read: .*/1\.csv",
    }.items():
        with pytest.raises(PlatformError, match=sentence):
            call("rollback", version, "--reason", "wrong")
    assert cloud.aliases() == before
    assert cloud.records() == ([], [])
