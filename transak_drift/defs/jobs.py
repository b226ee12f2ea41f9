"""Moved to `training`; kept until its last importer has followed."""

from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition as AssetJob,
)

from transak_drift.defs.training import retrain_job as build_retrain_job

__all__ = ["AssetJob", "build_retrain_job"]
