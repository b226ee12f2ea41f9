"""Compiles the pipelines for one monitored model."""

from __future__ import annotations

from pathlib import Path

from kfp import compiler

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.pipelines.pipeline_predict import pipeline_predict, run_monitoring_op
from transak_drift.pipelines.pipeline_train import pipeline_train


def compile_pipelines(config: MonitoringConfig, directory: Path) -> list[Path]:
    """Write the compiled pipelines, with what the configuration says as their defaults.

    Returned are the files: the component alone, for a pipeline of your own, and the two pipelines.
    Each is a PipelineSpec in YAML ("KFP: IR YAML").
    """
    directory.mkdir(parents=True, exist_ok=True)
    shared = {
        "monitoring_config": config.model_dump_json(exclude_defaults=True),
        "project": config.project_id,
        "location": config.location,
    }
    training = {**shared, "model_name": config.model_name}
    files = []
    for pipeline, name, defaults in (
        (run_monitoring_op, "run-monitoring", {}),
        (pipeline_predict, "pipeline-predict", shared),
        (pipeline_train, config.training_pipeline, training),
    ):
        file = directory / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(file), name, pipeline_parameters=defaults)
        files.append(file)
    return files
