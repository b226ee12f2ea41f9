"""The compiled pipelines: valid, wired from step to step, pinned, with the configuration inside."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from packaging.requirements import Requirement

from transak_drift import pipelines
from transak_drift.config.monitoring_config import parse_config
from transak_drift.pipelines.compilation import compile_pipelines
from transak_drift.pipelines.embedded_component import (
    MAX_SOURCE_BYTES,
    component_with_source,
    copy_with_imports,
)
from transak_drift.pipelines.pipeline_predict import run_monitoring
from transak_drift.platform import PlatformError
from transak_drift_tests.cli import commands
from transak_drift_tests.cloud_function.imported_packages import check_imports
from transak_drift_tests.config.configurations import CONFIG_FILE, configuration, document

# Its classes are made as the module is loaded, where type checkers do not see them.
protos: Any = pipeline_spec_pb2
CONFIG = configuration(retrain_policy={"cooldown_minutes": 90}, training_pipeline="train-transak")
NAMES = ("run-monitoring", "pipeline-predict", "train-transak")
_PIP_ARGUMENT = re.compile(r"'([A-Za-z0-9][A-Za-z0-9_.-]*(?:[=<>!~][^']*)?)'")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("compiled") / "pipelines"
    files = compile_pipelines(CONFIG, target)
    assert [file.name for file in files] == [f"{name}.yaml" for name in NAMES]
    assert sorted(target.iterdir()) == sorted(files)
    return target


def read_spec(directory: Path, name: str) -> Any:
    """Read a compiled pipeline as KFP's own proto, which refuses what it does not know."""
    text = (directory / f"{name}.yaml").read_text(encoding="utf-8")
    return json_format.ParseDict(yaml.safe_load(text), protos.PipelineSpec())


def executors(spec: Any) -> dict[str, Any]:
    """Return how each component is run."""
    deployment = json_format.ParseDict(
        json_format.MessageToDict(spec.deployment_spec),
        protos.PipelineDeploymentConfig(),
    )
    return dict(deployment.executors)


def test_monitoring_is_the_last_step_and_takes_its_predictions_from_the_prediction_step(
    directory: Path,
) -> None:
    tasks = read_spec(directory, "pipeline-predict").root.dag.tasks

    last = tasks["run-monitoring"]
    source = last.inputs.artifacts["batch_prediction_job"].task_output_artifact
    assert source.producer_task == "batch-predict-op"
    assert source.output_artifact_key == "batchpredictionjob"
    assert list(last.dependent_tasks) == ["batch-predict-op"]
    # Nothing waits for it, and it does not run where there are no predictions.
    assert all("run-monitoring" not in task.dependent_tasks for task in tasks.values())
    assert last.trigger_policy.strategy in (
        protos.PipelineTaskSpec.TriggerPolicy.TRIGGER_STRATEGY_UNSPECIFIED,
        protos.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_SUCCEEDED,
    )
    assert last.retry_policy.max_retry_count == 2
    assert not last.caching_options.enable_cache
    assert set(tasks) == {"batch-predict-op", "run-monitoring"}
    # By this name Dagster finds the day's predictions.
    name = tasks["batch-predict-op"].inputs.parameters["job_display_name"].runtime_value
    assert name.constant.string_value == (
        "predictions-{{$.inputs.parameters['pipelinechannel--day']}}"
    )


def test_the_uploaded_version_is_the_trained_one(directory: Path) -> None:
    tasks = read_spec(directory, "train-transak").root.dag.tasks

    upload = tasks["upload-model-op"].inputs
    files = upload.artifacts["unmanaged_container_model"].task_output_artifact.producer_task
    assert (
        tasks[files].inputs.parameters["uri"].task_output_parameter.producer_task
        == "train-classifier"
    )
    for name in ("version_aliases", "description"):
        origin = upload.parameters[name].task_output_parameter
        assert (origin.producer_task, origin.output_parameter_key) == ("train-classifier", name)


def test_the_launchers_get_payloads_of_their_own_protos(directory: Path) -> None:
    predict = _payload(
        directory,
        "pipeline-predict",
        "batch-predict-op",
        {
            "job_display_name": "predictions-2026-05-01",
            "model": "projects/p/locations/l/models/1",
            "source_table": "bq://p.d.t",
            "destination": "bq://p.d",
            "machine_type": "n1-standard-4",
            "replicas": "2",
        },
    )
    job = types.BatchPredictionJob.from_json(json.dumps(predict), ignore_unknown_fields=False)
    assert job.display_name == "predictions-2026-05-01"
    assert job.model == "projects/p/locations/l/models/1"
    assert job.input_config.bigquery_source.input_uri == "bq://p.d.t"
    assert job.output_config.bigquery_destination.output_uri == "bq://p.d"
    assert job.dedicated_resources.machine_spec.machine_type == "n1-standard-4"
    assert job.dedicated_resources.starting_replica_count == 2
    assert job.dedicated_resources.max_replica_count == 2

    upload = _payload(
        directory,
        "train-transak",
        "upload-model-op",
        {
            "display_name": "transak",
            "description": "not worse than the champion's",
            "version_aliases": '["default"]',
        },
    )
    model = types.Model.from_json(json.dumps(upload), ignore_unknown_fields=False)
    assert model.display_name == "transak"
    assert model.version_description == "not worse than the champion's"
    assert list(model.version_aliases) == ["default"]
    # The trigger finds the version of a training by this field.
    assert model.pipeline_job == "{{$.pipeline_job_resource_name}}"


@pytest.mark.parametrize("name", NAMES)
def test_images_and_packages_are_pinned(directory: Path, name: str) -> None:
    containers = [
        executor.container
        for executor in executors(read_spec(directory, name)).values()
        if executor.HasField("container")
    ]

    assert containers
    for container in containers:
        assert re.search(r"@sha256:[0-9a-f]{64}$|:\d+\.\d+\.\d+$", container.image)
        assert all(len(command.encode()) <= MAX_SOURCE_BYTES for command in container.command)
        for requirement in requirements_of(container):
            assert str(requirement.specifier) == f"=={version(requirement.name)}"


@pytest.mark.parametrize(
    ("name", "step"), [("run-monitoring", "monitoring_step"), ("train-transak", "training_step")]
)
def test_a_component_takes_along_what_it_imports_and_installs_the_rest(
    directory: Path, tmp_path: Path, name: str, step: str
) -> None:
    copied = copy_with_imports(f"transak_drift.pipelines.{step}", tmp_path)

    assert f"transak_drift.pipelines.{step}" in copied
    assert len(list(tmp_path.rglob("*.py"))) == len(copied)
    [container] = [
        executor.container
        for label, executor in executors(read_spec(directory, name)).items()
        if label in ("exec-run-monitoring", "exec-train-classifier")
    ]
    imports = check_imports(tmp_path, [item.name for item in requirements_of(container)])
    assert not {"dagster", "kfp", "typer"} & imports


def requirements_of(container: Any) -> list[Requirement]:
    """Return what a component installs here, from the command that does."""
    texts = [text for command in container.command for text in _PIP_ARGUMENT.findall(command)]
    found = [Requirement(text) for text in texts if "==" in text]
    return [item for item in found if item.marker is None or item.marker.evaluate()]


def test_the_configuration_is_the_default_of_the_parameters(directory: Path) -> None:
    for name in ("pipeline-predict", "train-transak"):
        spec = read_spec(directory, name)
        defaults = {
            key: definition.default_value.string_value
            for key, definition in spec.root.input_definitions.parameters.items()
        }
        assert defaults["project"] == CONFIG.project_id
        assert defaults["location"] == CONFIG.location
        assert parse_config(defaults["monitoring_config"], "test") == CONFIG
        assert spec.pipeline_info.name == name


def test_a_source_too_long_for_a_container_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transak_drift.pipelines.embedded_component.MAX_SOURCE_BYTES", 10_000)
    with pytest.raises(ValueError, match="at most 10000"):
        component_with_source(run_monitoring, "transak_drift.config.monitoring_config", [])


def test_the_command_writes_the_files_and_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(CONFIG_FILE.name).write_text(json.dumps(document(training_pipeline="my-train")))

    files = commands.document("compile-pipelines", "--output", "out")

    assert files == ["out/run-monitoring.yaml", "out/pipeline-predict.yaml", "out/my-train.yaml"]
    assert read_spec(tmp_path / "out", "my-train").pipeline_info.name == "my-train"


def test_the_command_names_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = str(tmp_path / "file" / "out")
    with pytest.raises(PlatformError, match=f"--output {output}"):
        commands.call("compile-pipelines", "--output", output)


def test_without_the_kfp_sdk_the_command_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kfp", None)
    monkeypatch.delitem(sys.modules, "transak_drift.pipelines.compilation")
    monkeypatch.delattr(pipelines, "compilation")
    with pytest.raises(PlatformError, match=r"pip install 'transak-drift\[pipelines\]'"):
        commands.call("compile-pipelines", "--output", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def _payload(directory: Path, name: str, task: str, values: dict[str, str]) -> Any:
    spec = read_spec(directory, name)
    label = spec.components[spec.root.dag.tasks[task].component_ref.name].executor_label
    arguments = list(executors(spec)[label].container.args)
    parts = json.loads(arguments[arguments.index("--payload") + 1])["Concat"]
    inputs = {f"{{{{$.inputs.parameters['{key}']}}}}": value for key, value in values.items()}
    assert set(inputs) <= set(parts)
    return json.loads("".join(inputs.get(part, part) for part in parts))
