"""ModelService and JobService: models, versions, evaluations, and batch prediction jobs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.cloud.aiplatform_v1 import types
from google.cloud.aiplatform_v1beta1 import types as beta_types

from transak_drift_tests.servers.api_rules import PARENT, canonical, display_name_of, page
from transak_drift_tests.servers.grpc_server import Methods, invalid, not_found

_ALIAS = re.compile("[a-z][a-zA-Z0-9-]{0,126}[a-z-0-9]")


class ModelRegistry:
    """The models of one location."""

    service = "google.cloud.aiplatform.v1.ModelService"

    def __init__(self) -> None:
        self._versions: dict[str, list[types.Model]] = {}
        self._evaluations: dict[str, list[types.ModelEvaluation]] = {}
        self._numbers = itertools.count(1001)

    def methods(self) -> Methods:
        return types, {
            "GetModel": self._get_model,
            "ListModels": self._list_models,
            "ListModelVersions": self._list_versions,
            "ListModelEvaluations": self._list_evaluations,
            "MergeVersionAliases": self._merge_aliases,
        }

    def upload(
        self,
        display_name: str,
        *,
        parent_model: str | None = None,
        is_default: bool = True,
        description: str = "",
        artifact_uri: str = "",
        pipeline_job: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> types.Model:
        """Upload a model, or a version of one, as a pipeline's upload step does."""
        name = parent_model or f"{PARENT}/models/{next(self._numbers)}"
        versions = self._versions.setdefault(name, [])
        now = datetime.now(UTC)
        model = types.Model(
            name=name,
            display_name=display_name,
            version_id=str(len(versions) + 1),
            version_aliases=["default"] if is_default or not versions else ["challenger"],
            version_description=description,
            artifact_uri=artifact_uri,
            pipeline_job=pipeline_job,
            create_time=now,
            version_create_time=now,
        )
        if is_default:
            for former in versions:
                former.version_aliases = [a for a in former.version_aliases if a != "default"]
        versions.append(model)
        if metrics is not None:
            version_name = f"{name}@{model.version_id}"
            self._evaluations.setdefault(version_name, []).append(
                types.ModelEvaluation(
                    name=f"{version_name}/evaluations/1", metrics=dict(metrics), create_time=now
                )
            )
        return model

    def set_alias(self, name: str, alias: str, version_id: str) -> None:
        """Move an alias to a version, as a person or a pipeline does."""
        for version in self._versions[self._key(name)]:
            aliases = [item for item in version.version_aliases if item != alias]
            version.version_aliases = aliases + [alias] * (version.version_id == version_id)

    def versions(self, name: str) -> Sequence[types.Model]:
        """Return the versions of a model, oldest first."""
        return list(self._versions.get(self._key(name), []))

    def _key(self, name: str) -> str:
        return canonical(name.partition("@")[0], "aiplatform.models.get")

    def _get_model(self, request: Any) -> types.Model:
        version = request.name.partition("@")[2] or "default"
        for item in self._versions.get(self._key(request.name), []):
            if version == item.version_id or version in item.version_aliases:
                return item
        raise not_found(request.name)

    def _list_models(self, request: Any) -> types.ListModelsResponse:
        canonical(request.parent, "aiplatform.models.list")
        wanted = display_name_of(request.filter) if request.filter else None
        models = [
            next(item for item in versions if "default" in item.version_aliases)
            for versions in self._versions.values()
            if wanted is None or versions[0].display_name == wanted
        ]
        return page(types.ListModelsResponse, request, models=models)

    def _list_versions(self, request: Any) -> types.ListModelVersionsResponse:
        versions = self._versions.get(self._key(request.name))
        if versions is None:
            raise not_found(request.name)
        return page(types.ListModelVersionsResponse, request, models=versions[::-1])

    def _merge_aliases(self, request: Any) -> types.Model:
        """Give a version aliases, which no other version then has, or, after a `-`, take them."""
        name, _, version_id = request.name.partition("@")
        versions = self._versions.get(self._key(name), [])
        found = next((item for item in versions if item.version_id == version_id), None)
        if found is None:
            raise not_found(request.name)
        for text in request.version_aliases:
            alias = text.removeprefix("-")
            if _ALIAS.fullmatch(alias) is None:
                raise invalid(f"alias {alias!r} does not match {_ALIAS.pattern}")
            if text.startswith("-") and alias == "default":
                raise invalid("one version must have the alias default")
            others = [found] if text.startswith("-") else versions
            for item in others:
                item.version_aliases = [one for one in item.version_aliases if one != alias]
            if not text.startswith("-"):
                found.version_aliases = [*found.version_aliases, alias]
        return found

    def _list_evaluations(self, request: Any) -> types.ListModelEvaluationsResponse:
        name, _, version = request.parent.partition("@")
        found = self._evaluations.get(f"{self._key(name)}@{version}", [])
        return page(types.ListModelEvaluationsResponse, request, model_evaluations=found)


_UNFINISHED = (beta_types.JobState.JOB_STATE_PENDING, beta_types.JobState.JOB_STATE_RUNNING)


class BatchPredictions:
    """The batch prediction jobs of one location."""

    service = "google.cloud.aiplatform.v1beta1.JobService"

    def __init__(self) -> None:
        self._jobs: list[beta_types.BatchPredictionJob] = []
        self._numbers = itertools.count(7001)

    def methods(self) -> Methods:
        return beta_types, {"ListBatchPredictionJobs": self._list}

    def add(
        self, display_name: str, output_uri: str, state: str = "JOB_STATE_SUCCEEDED"
    ) -> beta_types.BatchPredictionJob:
        """Add a job that has put its predictions at an address."""
        job = beta_types.BatchPredictionJob(
            name=f"{PARENT}/batchPredictionJobs/{next(self._numbers)}",
            display_name=display_name,
            state=beta_types.JobState[state],
            create_time=datetime.now(UTC),
            output_info=beta_types.BatchPredictionJob.OutputInfo(gcs_output_directory=output_uri),
        )
        self._jobs.append(job)
        return job

    def output_of(self, name: str) -> str | None:
        """Return where a job has put its predictions, or None where there is no such job."""
        found = self._find(name)
        return None if found is None else found.output_info.gcs_output_directory

    def runs(self, name: str) -> bool:
        """Whether there is such a job, and it has not ended."""
        found = self._find(name)
        return found is not None and found.state in _UNFINISHED

    def _find(self, name: str) -> beta_types.BatchPredictionJob | None:
        job_id = name.rpartition("/")[2]
        return next((job for job in self._jobs if job.name.endswith(f"/{job_id}")), None)

    def _list(self, request: Any) -> beta_types.ListBatchPredictionJobsResponse:
        canonical(request.parent, "aiplatform.batchPredictionJobs.list")
        wanted = display_name_of(request.filter)
        found = [job for job in reversed(self._jobs) if job.display_name == wanted]
        response = beta_types.ListBatchPredictionJobsResponse
        return page(response, request, largest=2, batch_prediction_jobs=found)
