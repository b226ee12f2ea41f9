"""Random schedules of faults against the trigger: a model in thousands, real processes in dozens.

Run as `python -m benchmarks.faults`. Each schedule publishes drift and other messages, lets ticks
die before any write, loses, repeats and reorders deliveries, sets clocks, and ends by settling. The
invariant - each drift event has exactly one training or a recorded reason, no message is left
unacknowledged for ever, none is lost - is checked after every step. The first violation ends the
run with status 1 and is printed; it is not counted.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer
from hypothesis import HealthCheck, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.machine import describe_machine
from benchmarks.report import Target, finish, show_table
from transak_drift_tests.faults.broken_loop import BrokenLoop
from transak_drift_tests.faults.fault_injection import run_schedule
from transak_drift_tests.trigger.test_trigger_invariant import TriggerMachine

_SCHEDULES_A_LOOP = 20


def main(
    model_schedules: Annotated[int, typer.Option(min=1)] = 2_000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a model schedule at most.")] = 40,
    real_seconds: Annotated[float, typer.Option(help="How long real processes are broken.")] = 300,
    seed: Annotated[int, typer.Option(help="Of the real schedules.")] = 1,
    store: Annotated[bool, typer.Option(help="Write benchmarks/results.")] = True,
) -> None:
    """Run random fault schedules."""
    machine = describe_machine("dagster", "google-cloud-pubsub", "hypothesis")
    model = _run_model(model_schedules, steps)
    real = _run_real(real_seconds, seed)
    show_table(
        "Random fault schedules without a violation",
        ("", "schedules", "messages", "faults", "seconds"),
        [
            (
                name,
                f"{figures['schedules']:,}",
                f"{figures['messages']:,}",
                f"{sum(figures['faults'].values()):,}",
                f"{figures['seconds']:.0f}",
            )
            for name, figures in (("model", model), ("real processes", real))
        ],
    )
    targets = [
        Target(
            "random schedules in which the invariant held",
            model["schedules"] + real["schedules"],
            1_000,
            at_most=False,
        )
    ]
    figures = {"model": model, "real": real}
    raise typer.Exit(finish("faults", machine, figures, targets, store=store))


def _run_model(schedules: int, steps: int) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()

    class CountingMachine(TriggerMachine):
        """The model, which counts what became of it once all its checks have passed."""

        def teardown(self) -> None:
            super().teardown()
            if hasattr(self, "world"):
                counts["schedules"] += 1
                counts["messages"] += len(self.world.subscription.messages)
                faults["deaths"] += self.world.deaths
                faults["other faults or clocks set"] += self.something_broke + self.clock_was_set

    started = time.monotonic()
    run_state_machine_as_test(
        CountingMachine,
        settings=settings(
            max_examples=schedules,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return {**counts, "faults": dict(faults), "seconds": time.monotonic() - started}


def _run_real(seconds: float, seed: int) -> dict[str, Any]:
    faults: Counter[str] = Counter()
    schedules = messages = 0
    random = Random(seed)
    started = time.monotonic()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    while time.monotonic() - started < seconds:
        with (
            tempfile.TemporaryDirectory(prefix="transak-drift-faults-", dir=memory) as directory,
            BrokenLoop(Path(directory)) as loop,
        ):
            for _ in range(_SCHEDULES_A_LOOP):
                if time.monotonic() - started >= seconds:
                    break
                faults += run_schedule(loop, random)
                schedules += 1
            messages += len(loop.published)
    del faults["none"]
    return {
        "schedules": schedules,
        "messages": messages,
        "faults": dict(faults),
        "seconds": time.monotonic() - started,
        "seed": seed,
    }


if __name__ == "__main__":
    typer.run(main)
