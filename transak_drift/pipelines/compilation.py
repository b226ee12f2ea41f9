"""Compiles the pipelines for one monitored model."""

from __future__ import annotations

from pathlib import Path

from kfp import compiler
from kfp.dsl.base_component import BaseComponent

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
    component = _write(run_monitoring_op, directory / "run-monitoring.yaml", None, {})
    predict = _write(pipeline_predict, directory / f"{PIPELINE_NAME}.yaml", PIPELINE_NAME, shared)
    train = _write(
        pipeline_train,
        directory / f"{config.training_pipeline}.yaml",
        config.training_pipeline,
        {**shared, "model_name": config.model_name},
    )
    return [component, predict, train]


def _write(pipeline: BaseComponent, path: Path, name: str | None, defaults: dict[str, str]) -> Path:
    compiler.Compiler().compile(
        pipeline,
        package_path=str(path),
        pipeline_name=name,
        pipeline_parameters=defaults or None,
    )
    return path
