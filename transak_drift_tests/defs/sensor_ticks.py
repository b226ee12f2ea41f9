"""Ticks of a sensor, as the daemon evaluates them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from transak_drift.cli.dagster_home import QUIET_RUN
from transak_drift.defs.keys import RETRAIN_JOB


@dataclass
class SensorTicks:
    """A sensor with its memory from tick to tick."""

    instance: dg.DagsterInstance
    sensor: dg.SensorDefinition
    resources: dict[str, Any] = field(default_factory=dict)
    cursor: str | None = None

    def tick(self) -> dg.SensorResult:
        """Evaluate the sensor, and keep its cursor and what it records."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources=self.resources,
            sensor_name=self.sensor.name,
        ) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        return result

    def tick_and_train(self, definitions: dg.Definitions) -> list[str]:
        """Evaluate the sensor, run the trainings that it requests, and return their run keys."""
        requests = self.tick().run_requests or []
        for request in requests:
            outcome = definitions.resolve_job_def(RETRAIN_JOB).execute_in_process(
                run_config={**request.run_config, **QUIET_RUN},
                instance=self.instance,
                tags=dict(request.tags),
            )
            assert outcome.success
        return [str(request.run_key) for request in requests]


def sentence(result: dg.SensorResult) -> str:
    """Return the sentence that a tick shows to people."""
    assert isinstance(result.skip_reason, dg.SkipReason)
    return str(result.skip_reason.skip_message)
