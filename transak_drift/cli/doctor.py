"""`transak-drift doctor`: does each piece of the gcp platform exist, and do they agree?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import typer

from transak_drift.cli.output import (
    JsonOption,
    ModelOption,
    console,
    print_json,
    print_table,
)
from transak_drift.config.finding import Finding, FindingState, gap, in_order
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.gcp_resources import (
    GcpPlatformResource,
    gcp_platform_resource,
    gcp_trigger_queue_resource,
)
from transak_drift.platform import PlatformError, TrainingRequest
from transak_drift.settings import Settings, load_settings

_MARKS = {
    FindingState.OK: "ok",
    FindingState.GAP: "GAP",
    FindingState.UNKNOWN: "?",
}


def doctor(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Check, without changing anything, that each piece on Google Cloud exists and agrees.

    Exit status 1 if anything is open; 2 on the local platform, which has nothing to check.
    """
    settings = load_settings()
    configs = settings.load_configs() if model is None else (settings.load_config(model),)
    if settings.platform != "gcp":
        raise PlatformError(
            "doctor checks the gcp platform, and the local one is chosen; set "
            "TRANSAK_DRIFT_PLATFORM=gcp"
        )
    findings = [
        finding
        if len(configs) == 1
        else replace(finding, piece=f"{config.model_name}: {finding.piece}")
        for config in configs
        for finding in _inspect(settings, config)
    ]
    if as_json:
        print_json(
            [
                {
                    "piece": finding.piece,
                    "state": finding.state.value,
                    "detail": finding.detail,
                    "fix": finding.fix,
                }
                for finding in findings
            ]
        )
    else:
        _print(findings)
    if any(finding.is_open for finding in findings):
        raise typer.Exit(1)


def _inspect(settings: Settings, config: MonitoringConfig) -> list[Finding]:
    # Google's clients take seconds to import, and only this command needs all of them.
    from transak_drift.google_cloud.log_sink import inspect_log_sink
    from transak_drift.google_cloud.project_access import inspect_project_access
    from transak_drift.google_cloud.session import RestSession
    from transak_drift.pubsub.connection import connect
    from transak_drift.pubsub.inspection import inspect_trigger_queue
    from transak_drift.vertex.inspection import inspect_vertex

    platform = gcp_platform_resource(settings)
    session = RestSession(settings.google_apis_url, settings.impersonate_service_account)
    queue = gcp_trigger_queue_resource(settings)
    findings = [
        inspect_project_access(session, config, _permissions(settings, config)),
        *inspect_vertex(
            platform.connect(config),
            config,
            TrainingRequest("doctor/doctor", datetime.now(UTC), "doctor"),
        ),
        *_inspect_datasets(platform, config),
    ]
    sink_findings, writer_identity = inspect_log_sink(session, config)
    clients = connect(queue.endpoint(), queue.service_account())
    try:
        return [
            *findings,
            *sink_findings,
            *inspect_trigger_queue(clients, config, writer_identity),
        ]
    finally:
        clients.close()


def _permissions(settings: Settings, config: MonitoringConfig) -> list[str]:
    from transak_drift.google_cloud import project_access
    from transak_drift.vertex.dataset_input import BATCH_PREDICTION

    needed = list(project_access.VERTEX_PERMISSIONS)
    if (config.vertex.prediction_dataset or "").startswith(BATCH_PREDICTION):
        needed += project_access.BATCH_PREDICTION_PERMISSIONS
    if settings.cancel_training_with_run:
        needed += project_access.CANCEL_PERMISSIONS
    return needed


def _inspect_datasets(platform: GcpPlatformResource, config: MonitoringConfig) -> list[Finding]:
    findings = []
    for piece, key, address in (
        ("baseline dataset", "training_dataset", config.vertex.training_dataset),
        ("monitored dataset", "prediction_dataset", config.vertex.prediction_dataset),
    ):
        if address is None:
            findings.append(
                gap(piece, f"vertex.{key} is not set", "name the data in the configuration")
            )
        else:
            findings.append(_inspect_dataset(platform, config, piece, address))
    return findings


def _inspect_dataset(
    platform: GcpPlatformResource, config: MonitoringConfig, piece: str, address: str
) -> Finding:
    """Look whether data are there; those of a day may not be written yet, so none are asked for."""
    if "{date" in address or address.startswith("batchPredictionJobs/"):
        return in_order(piece, f"{address}, looked at by each day's run")
    opened = platform.open(config)
    try:
        version = ""
        if "{model_version}" in address:
            version = opened.ensure_registered_model(config).version or ""
        today = datetime.now(UTC).date()
        found = opened.data.describe(address.replace("{model_version}", version), today, None)
    except PlatformError as error:
        return gap(piece, str(error), "write the data, or correct the address")
    rows = "" if found.rows is None else f", {found.rows} rows"
    return in_order(piece, f"{found.uri}{rows}")


def _print(findings: Sequence[Finding]) -> None:
    print_table(
        "Pieces of the gcp platform",
        [
            {
                "piece": finding.piece,
                "": _MARKS[finding.state],
                "found": finding.detail,
                "fix": finding.fix,
            }
            for finding in findings
        ],
        "nothing to check",
    )
    open_pieces = [finding.piece for finding in findings if finding.is_open]
    if open_pieces:
        console.print(f"[bold red]{len(open_pieces)} open[/]: {', '.join(open_pieces)}")
    else:
        console.print("[bold green]every piece exists and agrees[/]")
