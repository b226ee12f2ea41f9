"""Measures one contender in its process; needs nothing but the standard library."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

FEATURES = ("description", "type", "amount")
CATEGORICAL = ("description", "type")
NUMERICAL = ("amount",)
# ru_maxrss counts kilobytes on Linux and bytes on macOS (getrusage(2)).
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def run_contender(compute: Callable[[Path, Path], Mapping[str, float]]) -> None:
    """Compute the drift between the files named on the command line, and print what it took.

    The arguments are baseline, target, and two small files with which everything is done once
    before, so that imports and first calls are not measured. The last line of standard output is
    JSON: `seconds`, `processor_seconds`, `peak_memory_bytes` of the whole process,
    `added_memory_bytes` (the peak above what imports and first calls had taken), and what `compute`
    returned as `distances`.

    Args:
        compute: takes the baseline's and the target's path and returns a distance by feature.
    """
    baseline, target, small_baseline, small_target = map(Path, sys.argv[1:5])
    compute(small_baseline, small_target)
    memory_before = resident_memory_bytes()
    started, processor_started = time.perf_counter(), time.process_time()
    distances = compute(baseline, target)
    seconds = time.perf_counter() - started
    processor_seconds = time.process_time() - processor_started
    peak = peak_memory_bytes()
    measured = {
        "seconds": seconds,
        "processor_seconds": processor_seconds,
        "peak_memory_bytes": peak,
        "added_memory_bytes": peak - memory_before,
        "distances": dict(distances),
    }
    sys.stdout.write(f"\n{json.dumps(measured)}\n")


def peak_memory_bytes() -> int:
    """Return the greatest resident memory that this process ever had."""
    # ru_maxrss also counts the process that started this one, before exec (getrusage(2)); the
    # high-water mark of /proc/self/status is this program's own (proc(5)).
    return _status_bytes("VmHWM") or (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
    )


def resident_memory_bytes() -> int:
    """Return the resident memory of this process."""
    return _status_bytes("VmRSS") or peak_memory_bytes()


def _status_bytes(field: str) -> int:
    """Return a field of /proc/self/status, or 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    kilobytes = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(kilobytes[0]) if kilobytes else 0
