"""Compiles the pipelines for one monitored model."""

from __future__ import annotations

from pathlib import Path

from kfp import compiler

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.pipelines.components.run_monitoring import run_monitoring_op
from transak_drift.pipelines.pipeline_predict import PIPELINE_NAME, pipeline_predict
from transak_drift.pipelines.pipeline_train import pipeline_train


def compile_pipelines(config: MonitoringConfig, directory: Path) -> list[Path]:
    """Write the compiled pipelines, with what the configuration says as their defaults.

    Args:
        config: the monitored model.
        directory: where the files go; made where missing, files of the same name are replaced.

    Returns:
        The files: the component alone, for a pipeline of your own, and the two pipelines. Each is
        a PipelineSpec in YAML ("KFP: IR YAML").

    Raises:
        OSError: a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shared = {
        "monitoring_config": config.model_dump_json(exclude_defaults=True),
        "project": config.project_id,
        "location": config.location,
    }
    component = directory / "run-monitoring.yaml"
    compiler.Compiler().compile(run_monitoring_op, str(component))
    files = [component]
    for pipeline, name, defaults in (
        (pipeline_predict, PIPELINE_NAME, shared),
        (pipeline_train, config.training_pipeline, {**shared, "model_name": config.model_name}),
    ):
        file = directory / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(file), name, pipeline_parameters=defaults)
        files.append(file)
    return files
