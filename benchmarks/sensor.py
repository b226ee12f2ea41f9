"""The drift message sensor under load, beside the bare Pub/Sub client in the same run.

Run as `python -m benchmarks.sensor`. Measured are the messages a second through the whole path
(pull, read the jobs that they name, record, acknowledge, decide) against the client's mere pull and
acknowledgement of as many equal messages; the runs that a burst requests; the ticks from
publication to launch with a real daemon; a tick with nothing to do; and the sensor's memory over
its backlog. The embedded server answers both sides.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import dagster as dg
import typer

from benchmarks.machine import describe_machine
from benchmarks.report import Target, finish, show_table
from benchmarks.sensor_drain import Workbench
from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift_tests.end_to_end.running_loop import RunningLoop

_EVENTS = 100
_UNLIMITED: Mapping[str, int] = {"maximum_trainings_in_flight": 1_000}
_DEFAULT: Mapping[str, int] = RetrainPolicy().model_dump()


def main(
    backlogs: Annotated[list[int] | None, typer.Option(help="Messages to drain.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    launches: Annotated[int, typer.Option(help="Drift messages sent to a real daemon.")] = 3,
    store: Annotated[bool, typer.Option(help="Write benchmarks/results.")] = True,
) -> None:
    """Measure the sensor."""
    machine = describe_machine("dagster", "google-cloud-pubsub", "grpcio")
    sizes = backlogs or [10_000, 100_000]
    drained = {size: _middle([_drain(size, _UNLIMITED) for _ in range(rounds)]) for size in sizes}
    held = _drain(sizes[0], _DEFAULT)
    show_table(
        f"Backlogs of drift messages, {_EVENTS} drift events each",
        ("messages", "sensor /s", "bare /s", "ratio", "ticks", "requests", "s a tick", "added MB"),
        [
            (
                f"{size:,}",
                f"{item['messages_a_second']:,.0f}",
                f"{item['bare_messages_a_second']:,.0f}",
                f"{item['ratio']:.2f}",
                str(item["ticks"]),
                str(item["requests"]),
                f"{item['longest_tick_seconds']:.2f}",
                f"{item['added_memory_bytes'] / 1e6:.0f}",
            )
            for size, item in drained.items()
        ],
    )
    idle = _in_process(_measure_idle, 5)
    daemon = _launch_ticks(launches)
    show_table(
        "Ticks",
        ("", "value"),
        [
            ("ticks from publication to launch", ", ".join(map(str, daemon["ticks"]))),
            ("seconds from publication to launch", _seconds(daemon["seconds"])),
            ("seconds of an idle tick, of which it waits for messages", _seconds(idle["seconds"])),
            ("processor seconds of an idle tick", _seconds(idle["processor_seconds"])),
            (f"requests for {sizes[0]:,} messages, default policy", str(held["requests"])),
        ],
    )
    smallest, largest = drained[sizes[0]], drained[sizes[-1]]
    targets = [
        *(
            Target(f"{size:,} messages: whole path / bare client", item["ratio"], 0.8, False)
            for size, item in drained.items()
        ),
        Target(f"requests for {sizes[0]:,} messages", smallest["requests"], _EVENTS),
        Target("requests, default policy", held["requests"], 1),
        Target("ticks from publication to launch", max(daemon["ticks"], default=0), 1),
        Target(
            f"peak memory, backlog of {sizes[-1]:,} / {sizes[0]:,}",
            largest["peak_memory_bytes"] / smallest["peak_memory_bytes"],
            1.1,
        ),
    ]
    figures = {"drained": drained, "default_policy": held, "idle_tick": idle, "daemon": daemon}
    raise typer.Exit(finish("sensor", machine, figures, targets, store=store))


def _seconds(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the middle of each figure: a round alone lasts a second on a shared machine."""
    middle = {name: median(item[name] for item in rounds) for name in rounds[0]}
    ratio = middle["messages_a_second"] / middle["bare_messages_a_second"]
    return {**middle, "ratio": ratio, "ratios": [item["ratio"] for item in rounds]}


def _drain(messages: int, policy: Mapping[str, int]) -> dict[str, Any]:
    return _in_process(_measure_drain, messages, dict(policy))


def _in_process(function: Any, *arguments: Any) -> Any:
    """Measure in a process of its own, whose memory nothing else has touched."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_answer, args=(theirs, function, *arguments))
    process.start()
    theirs.close()
    answer = ours.recv()
    process.join()
    return answer


def _answer(parent: Connection, function: Any, *arguments: Any) -> None:
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="transak-drift-benchmark-") as directory:
        parent.send(function(Path(directory), *arguments))


def _measure_drain(directory: Path, messages: int, policy: Mapping[str, int]) -> dict[str, Any]:
    bench = Workbench(directory, policy)
    bench.warm_up()
    bench.publish(messages, _EVENTS, "bare")
    bare_seconds = bench.drain_bare(messages)
    bench.publish(messages, _EVENTS, "whole")
    drained = bench.drain(messages)
    bench.close()
    bare = messages / bare_seconds
    return {
        **asdict(drained),
        "messages_a_second": drained.messages_a_second,
        "bare_messages_a_second": bare,
        "ratio": drained.messages_a_second / bare,
        "added_memory_bytes": drained.peak_memory_bytes - drained.memory_before_bytes,
    }


def _measure_idle(directory: Path, ticks: int) -> dict[str, list[float]]:
    bench = Workbench(directory, _DEFAULT)
    bench.tick(None)
    seconds, processor_seconds = [], []
    for _ in range(ticks):
        processor_started = time.process_time()
        seconds.append(bench.tick(None)[1])
        processor_seconds.append(time.process_time() - processor_started)
    bench.close()
    return {"seconds": seconds, "processor_seconds": processor_seconds}


def _launch_ticks(launches: int) -> dict[str, list[Any]]:
    """Publish to a real daemon with its default interval; count the ticks until a run is there."""
    ticks: list[int] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="transak-drift-benchmark-") as directory:
        policy = {"retrain_policy": {"maximum_trainings_in_flight": 100}}
        with RunningLoop(Path(directory), policy) as loop:
            del loop.environment["TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS"]
            loop.start_daemon()
            loop.wait_for("a first tick", loop.sensor_state)
            for number in range(launches):
                job = f"launch-{number}"
                published = datetime.now(UTC)
                loop.queue.publish(loop.message(job))
                loop.wait_for("the launch", lambda job=job: _launched(loop, job))
                seconds.append((datetime.now(UTC) - published).total_seconds())
                ticks.append(_ticks_since(loop.instance, published))
    return {"ticks": ticks, "seconds": seconds}


def _launched(loop: RunningLoop, job: str) -> bool:
    unlaunched = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED)
    return any(run.status not in unlaunched for run in loop.trainings(job))


def _ticks_since(instance: dg.DagsterInstance, moment: datetime) -> int:
    """Count the sensor's ticks that began after a moment."""
    for state in instance.all_instigator_state():
        if state.instigator_name == SENSOR_NAME:
            ticks = instance.get_ticks(
                state.instigator_origin_id, state.selector_id, after=moment.timestamp()
            )
            return len(ticks)
    return 0


if __name__ == "__main__":
    typer.run(main)
