"""The part of the configuration that only the gcp platform reads."""

from __future__ import annotations

from typing import Any

import pytest

from transak_drift_tests.config.configurations import configuration, faults_after


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training_dataset", "gs://transak-i1/training/*.csv"),
        ("prediction_dataset", "bq://af-finanzen.transak.predictions_{date:%Y%m%d}"),
        ("prediction_dataset", "gs://transak-i1/predictions/{date}/*.jsonl"),
        ("prediction_dataset", "batchPredictionJobs/transak-i1 {date}"),
        ("pipeline_template", "pipelines/pipeline-train.yaml"),
        ("pipeline_template", "https://europe-west6-kfp.pkg.dev/af-finanzen/pipelines/train/v1"),
        ("pipeline_root", "gs://transak-i1"),
        ("pipeline_parameters", {"epochs": 3, "rate": 0.1, "full": True, "days": "{first_day}"}),
    ],
)
def test_a_value_is_taken_as_it_is(key: str, value: Any) -> None:
    taken = getattr(configuration(vertex={key: value}).vertex, key)
    assert taken == value
    if isinstance(value, dict):
        assert [type(item) for item in taken.values()] == [type(item) for item in value.values()]


@pytest.mark.parametrize(
    ("key", "value", "part_of_fix"),
    [
        ("training_dataset", "af-finanzen.transak.training", "bq://project.dataset.table"),
        ("training_dataset", "gs://transak-i1/training/data.parquet", ".jsonl"),
        ("prediction_dataset", "projects/p/locations/l/batchPredictionJobs/1", "<display name>"),
        ("monitoring_output", "/tmp/output", "gs://bucket/path"),
        ("pipeline_template", "https://evil.example.com/train.yaml", "kfp.pkg.dev"),
        ("pipeline_template", "ftp://host/train.yaml", "kfp.pkg.dev"),
        ("pipeline_root", "transak-i1", "gs://bucket/path"),
        ("pipeline_service_account", "pipelines", "name@example.com"),
        ("pipeline_network", "transak", "projects/<number>/global/networks/<name>"),
        ("pipeline_templat", "train.yaml", "pipeline_template"),
    ],
)
def test_a_wrong_value_is_named_with_its_fix(key: str, value: Any, part_of_fix: str) -> None:
    faults = faults_after(vertex={key: value})
    assert list(faults) == [f"vertex.{key}"]
    assert part_of_fix in faults[f"vertex.{key}"].fix


@pytest.mark.parametrize("labels", [{"Team": "mlops"}, {"team": "ML Ops"}])
def test_a_label_that_vertex_would_refuse_is_refused(labels: dict[str, str]) -> None:
    (fault,) = faults_after(vertex={"pipeline_labels": labels}).values()
    assert fault.path.startswith("vertex.pipeline_labels")
    assert "63" in str(fault) or "key" in str(fault)


def test_a_fault_within_a_section_is_reported_once_with_the_section_s_own_keys() -> None:
    vertex = {"pipeline_parameters": {"days": [1]}}
    (fault,) = faults_after(vertex=vertex).values()
    assert str(fault) == (
        "vertex.pipeline_parameters.days = [1]: is no single value; "
        "fix: write text in quotes, a number, true or false"
    )
    email = {"sender": "a@b.ch", "recipient": ["a@b.ch"], "recipients": ["nobody"]}
    faults = faults_after(notifications={"email": email})
    assert set(faults) == {"notifications.email.recipient", "notifications.email.recipients[0]"}
    assert '"recipients"' in faults["notifications.email.recipient"].fix
