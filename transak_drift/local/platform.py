"""The local platform: the same work as on Google Cloud, for real, on one machine."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from transak_drift.config.monitoring_config import MonitoringConfig, RetrainPolicy
from transak_drift.config.monitoring_window import Window
from transak_drift.config.resource_names import (
    model_monitor_name,
    monitoring_job_name,
    parse_monitoring_job_name,
)
from transak_drift.drift.data_quality import measure_quality
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.drift.drift_statistics import compare_features, compare_predictions
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.local.atomic_file import replace_file, write_text
from transak_drift.local.dataset_statistics import Baseline, scan_statistics
from transak_drift.local.file_transactions import own_transactions
from transak_drift.local.label_counts import count_labels
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.training import LocalTraining
from transak_drift.local.transaction_generator import (
    GeneratedTransactions,
    GeneratorSettings,
    generate_window,
)
from transak_drift.platform import (
    AppliedModelMonitor,
    Change,
    Dataset,
    Overview,
    PlatformError,
    PredictedDataset,
    RegisteredModel,
    RestorableVersion,
    StartedMonitoringRun,
    TrainingRequest,
    TrainingResult,
)
from transak_drift.training.labels import LabelCounts
from transak_drift.trigger.assessment import drift_event_of
from transak_drift.trigger.log_entry import anomaly_log_entry
from transak_drift.trigger.sink_filter import lets_through, sink_filter

_METHOD = "exact, from every row"
_MAX_RESULTS = 14
_ANY_DISTANCE = RetrainPolicy(
    minimum_target_rows=1, beyond_chance=False, objectives=("feature", "prediction")
)
_TEST_JOB = "test-of-the-trigger-"
_TEST_DRIFT_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class LocalPlatform:
    """Implements `DriftPlatform`; `publish` sends a body to a configuration's trigger topic.

    A monitoring run is finished on return. Its job's id is made of the baseline's name and the
    window: the same comparison made again is the same drift event, and trains nothing twice.
    """

    root: Path
    generator: GeneratorSettings
    publish: Callable[[MonitoringConfig, bytes], str]

    def land_transactions(self, config: MonitoringConfig, window: Window) -> Dataset:
        return self._training(config).land(window)

    def ensure_registered_model(self, config: MonitoringConfig) -> RegisteredModel:
        training = self._training(config)
        before = training.registry.champion()
        model = before or training.train_first_version()
        if model is None or model.metrics is None:
            detail = f"{training.no_labels()}: the transactions are monitored without predictions"
            return RegisteredModel(None, created=False, trained_until=None, detail=detail)
        created = before is None
        first, last = model.training_days
        detail = f"version {model.number} of {config.model_name}, trained on {first} to {last}"
        return RegisteredModel(
            version=str(model.number),
            created=created,
            trained_until=config.windows.end_of(last),
            detail=f"{detail}: the first version" if created else detail,
            metrics={"accuracy": model.metrics.accuracy, "macro F1": model.metrics.macro_f1},
        )

    def apply_model_monitor(self, config: MonitoringConfig) -> AppliedModelMonitor:
        file = StateDirectory(self.root, config).model_monitor
        name = model_monitor_name(config.project_id, config.location, config.model_monitor_id)
        thresholds, kinds = config.drift_thresholds, config.feature_types
        of = config.prediction_drift
        desired = {
            "displayName": config.monitoring_job_display_name,
            "model": config.model_name,
            **{f"featureThresholds.{feature}": value for feature, value in thresholds.items()},
            **{f"featureTypes.{feature}": kind for feature, kind in kinds.items()},
            **({f"predictionThresholds.{of.column}": of.threshold} if of else {}),
            "categoricalMetric": config.categorical_metric,
            "notification.enableCloudLogging": config.log_anomalies,
            "notification.channels": list(config.notification_channels),
            "notification.userEmails": list(config.user_emails),
        }
        exists = file.exists()
        before = _stored_settings(file) if exists else {}
        changes = tuple(
            Change(path, before.get(path), desired.get(path))
            for path in sorted({*before, *desired})
            if before.get(path) != desired.get(path)
        )
        if changes:
            write_text(file, json.dumps({"name": name, "settings": desired}, indent=2))
        return AppliedModelMonitor(name, created=not exists, changes=changes)

    def predict(self, config: MonitoringConfig, window: Window) -> PredictedDataset:
        return self._training(config).predict(window)

    def start_monitoring_run(
        self, config: MonitoringConfig, window: Window
    ) -> StartedMonitoringRun:
        state = StateDirectory(self.root, config)
        if not state.model_monitor.exists():
            raise PlatformError(
                "no monitoring configuration is applied; materialize model_monitor first"
            )
        target = state.predictions(window)
        if not target.exists():
            raise PlatformError(
                f"no predictions of {window}; materialize predictions of that partition first"
            )
        baseline = self._training(config).baseline()
        # A drift event of the week is another than one of its Monday.
        length = "" if window.length == "day" else f"{window.length}-"
        job_id = f"{length}{window.key.replace('-', '')}-baseline-{baseline.name}"
        job, event = _measure(state, job_id, window, target, baseline)
        _store_result(state, job)
        if event is None or not config.log_anomalies:
            return StartedMonitoringRun(job.name)
        return StartedMonitoringRun(job.name, self._write_anomaly(event, state))

    def _write_anomaly(self, event: DriftEvent, state: StateDirectory) -> str | None:
        """Write an anomaly to the log; the sink passes it on, by the filter Terraform deploys."""
        config = state.config
        entry = anomaly_log_entry(event, receive_time=datetime.now(UTC))
        body = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
        with state.anomaly_log.open("a", encoding="utf-8") as log:
            log.write(body + "\n")
            log.flush()
            os.fsync(log.fileno())
        deployed = sink_filter(config.model_monitor_id, config.further_model_monitor_ids)
        return self.publish(config, body.encode()) if lets_through(deployed, entry) else None

    def monitor_drifted_window(self, config: MonitoringConfig, window: Window) -> MonitoringJob:
        """Monitor a window of generated transactions that drifts, to test the trigger.

        The transactions are kept apart from the window's own, and the job, whose id is new each
        time, is in no list: it is no monitoring of the window, and only a message leads to it. The
        first model is trained where none is.
        """
        self.ensure_registered_model(config)
        training, state = self._training(config), StateDirectory(self.root, config)
        baseline = training.baseline()
        job_id = f"{_TEST_JOB}{uuid.uuid4().hex[:16]}"
        file = state.drifted_window(job_id)
        found: list[str] = []
        # A champion that learned from such drift has it in its baseline: for it the former is new.
        for drift_from in (window.first_day, None):
            settings = replace(self.generator, drift_from=drift_from, drift_share=_TEST_DRIFT_SHARE)
            with replace_file(file) as temporary:
                pq.write_table(generate_window(window, settings), temporary)
            if config.prediction_drift is not None:
                training.predict_file(file, file)
            job, _ = _measure(state, job_id, window, file, baseline)
            assert job.result is not None
            if drift_event_of(job, job.result, config) is not None:
                _store_result(state, job)
                return job
            found += [item.summary() for item in job.result.features]
        file.unlink()
        raise PlatformError(
            f"no generated window drifts by the configured thresholds ({', '.join(found)}); lower "
            "drift_thresholds, or name a monitoring job with --job"
        )

    def monitoring_result(self, config: MonitoringConfig, job_name: str) -> MonitoringResult:
        *_, monitor_id, job_id = parse_monitoring_job_name(job_name)
        return self._result(config, monitor_id, job_id)

    def _result(self, config: MonitoringConfig, monitor_id: str, job_id: str) -> MonitoringResult:
        job = self.read_monitoring_job(config, monitor_id, job_id)
        if job.result is None:
            raise PlatformError(
                f"no result of {job.name} ({job.detail}); materialize monitoring_run of that "
                "window again"
            )
        return job.result

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        projects = {config.project_id, config.project_number or config.project_id}
        return OwnMonitors(frozenset(projects), config.location, (config.model_monitor_id,))

    def list_monitoring_jobs(self, config: MonitoringConfig, since: datetime) -> list[ListedJob]:
        """List the jobs whose result was stored at or after a time; each has ended."""
        found = [
            ListedJob(config.model_monitor_id, file.stem, stored, has_ended=True)
            for file in self._result_files(config)
            if (stored := datetime.fromtimestamp(file.stat().st_mtime, UTC)) >= since
        ]
        return sorted(found, key=lambda job: job.created)

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        """Read a job: it is missing without a stored result, and failed where that is damaged."""
        file = StateDirectory(self.root, config).monitoring_result(monitoring_job_id)
        job_state, detail, result = JobState.SUCCEEDED, "", None
        try:
            result = MonitoringResult.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            job_state = JobState.MISSING
            detail = f"no job {monitoring_job_id} has a result in {file.parent}"
        except ValidationError as error:
            job_state = JobState.FAILED
            fix = "materialize monitoring_run of that window again"
            detail = f"{file} is damaged: {error.errors()[0]['msg']}; {fix}"
        except OSError as error:
            raise PlatformError(
                f"{file} cannot be read ({error.strerror}); correct the rights of its directory"
            ) from error
        ids = (model_monitor_id, monitoring_job_id)
        name = monitoring_job_name(config.project_id, config.location, *ids)
        return MonitoringJob(name, *ids, job_state, detail, result)

    def label_state(self, config: MonitoringConfig, window: Window) -> str:
        """See `DriftPlatform`: the window's own files, and whose classes are expected."""
        training, policy = self._training(config), config.labels
        by_champion = policy is not None and policy.expected is None
        champion = training.registry.classifier() if by_champion else None
        return f"{training.source.state(window)} {champion.number if champion else ''}"

    def count_labels(self, config: MonitoringConfig, window: Window) -> LabelCounts:
        """See `DriftPlatform`; a training that goes on keeps the files that it reads."""
        training = self._training(config)
        with TemporaryDirectory() as directory:
            path = StateDirectory(self.root, config).transactions(window)
            if not training.is_current(window):
                path = Path(directory) / path.name
                training.source.write_window(window, path)
            found = count_labels(path, config)
        return found.model_copy(update={"champion_classes": training.champion_classes()})

    def train(
        self,
        config: MonitoringConfig,
        request: TrainingRequest,
        progress: Callable[[str], None],
    ) -> TrainingResult:
        return self._training(config).train(request, progress)

    def find_restorable(self, config: MonitoringConfig, version: str) -> RestorableVersion:
        training = self._training(config)
        found, champion = training.find_restorable(version), training.registry.champion()
        # One that was restored before is one that was promoted before.
        assert champion is not None
        return RestorableVersion(
            version=version,
            training_days=found.training_days,
            training_rows=found.rows,
            trained_until=config.windows.end_of(found.training_days[1]),
            champion=str(champion.number),
            champion_trained_until=config.windows.end_of(champion.training_days[1]),
        )

    def restore(self, config: MonitoringConfig, found: RestorableVersion) -> None:
        """See `DriftPlatform`; baseline and predictions are those of the champion."""
        training = self._training(config)
        training.restore(training.find_restorable(found.version), found.champion)

    def overview(self, config: MonitoringConfig) -> Overview:
        registry = self._training(config).registry
        champion = registry.champion()
        results = [
            self._result(config, config.model_monitor_id, file.stem)
            for file in sorted(self._result_files(config), reverse=True)[:_MAX_RESULTS]
        ]
        name = model_monitor_name(config.project_id, config.location, config.model_monitor_id)
        exists = StateDirectory(self.root, config).model_monitor.exists()
        return Overview(
            model_monitor=name if exists else None,
            model_versions=[
                {
                    "version": version.number,
                    "champion": "yes" if version == champion else "",
                    "trained on": "{} to {}".format(*version.training_days),
                    "rows": version.rows,
                    "macro F1": round(version.metrics.macro_f1, 4) if version.metrics else "",
                    "drift event": version.drift_event_key or "",
                }
                for version in reversed(registry.versions())
            ],
            monitoring_results=[
                {
                    "window": result.window.key,
                    "baseline": result.baseline_name,
                    **{
                        item.feature: None if item.distance is None else round(item.distance, 6)
                        for item in result.features
                    },
                    "verdict": "drift" if result.drifted else "ok",
                }
                for result in results
            ],
        )

    def _result_files(self, config: MonitoringConfig) -> list[Path]:
        files = StateDirectory(self.root, config).monitoring_result("x").parent.glob("*.json")
        return [file for file in files if not file.name.startswith(_TEST_JOB)]

    def _training(self, config: MonitoringConfig) -> LocalTraining:
        generated = config.transactions is None
        source = GeneratedTransactions(self.generator) if generated else own_transactions(config)
        return LocalTraining(StateDirectory(self.root, config), source, self.generator.seed)


def _measure(
    state: StateDirectory, job_id: str, window: Window, target_file: Path, baseline: Baseline
) -> tuple[MonitoringJob, DriftEvent | None]:
    config = state.config
    kinds = {name: item.kind for name, item in baseline.statistics.features.items()}
    prediction = config.prediction_drift
    if prediction is not None and prediction.column in pq.read_schema(target_file).names:
        kinds[prediction.column] = FeatureKind.CATEGORICAL
    target = scan_statistics([target_file], kinds, csv_format=config.csv)
    metric, thresholds = config.categorical_metric, config.drift_thresholds
    known_rows: dict[str, int] = {}
    features = compare_features(
        baseline.statistics,
        target,
        thresholds,
        categorical_metric=metric,
        known_rows=known_rows,
    )
    if prediction is not None:
        found = compare_predictions(baseline.predictions, target, prediction, metric)
        features = (*features, found)
    project = config.project_number or config.project_id
    name = monitoring_job_name(project, config.location, config.model_monitor_id, job_id)
    start, end = config.windows.bounds(window)
    result = MonitoringResult(
        job_name=name,
        window=window,
        baseline_name=f"training data of model {baseline.name}",
        baseline_rows=baseline.statistics.rows,
        target_rows=target.rows,
        features=features,
        quality=measure_quality(baseline.statistics, target, known_rows),
        method=_METHOD,
        window_start=start,
        window_end=end,
    ).judged(config.retrain_policy)
    job = MonitoringJob(name, config.model_monitor_id, job_id, JobState.SUCCEEDED, result=result)
    # As Vertex AI, it alerts of every distance above its threshold: the policy is the trigger's.
    alerts = config.model_copy(update={"retrain_policy": _ANY_DISTANCE})
    return job, drift_event_of(job, result, alerts)


def _store_result(state: StateDirectory, job: MonitoringJob) -> None:
    assert job.result is not None
    text = job.result.model_dump_json(indent=2)
    write_text(state.monitoring_result(job.monitoring_job_id), text)


def _stored_settings(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlatformError(
            f"{path} is not a stored ModelMonitor ({error}); delete it and "
            "materialize model_monitor again"
        ) from error
