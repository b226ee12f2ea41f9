"""A million hostile messages through the trigger's assessment: nothing raises, no lie trains.

Run as `python -m benchmarks.fuzz`. Messages are made by seeded mutation of true ones: bytes and
JSON values are changed, repeated, nested, cut and enlarged to 10 MB, names are forged by a
character, look-alikes or invisible characters, jobs are named where nobody expects them. The local
platform holds one job that drifted and one that did not. An independent judge, which uses none of
the trigger's code, says whether a body that trains names the one that drifted.
"""

from __future__ import annotations

import json
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from benchmarks.machine import describe_machine
from benchmarks.report import Target, finish, show_table
from transak_drift.local.platform import LocalPlatform
from transak_drift.local.transaction_generator import GeneratorSettings
from transak_drift.trigger.assessment import Assessor, Verdict
from transak_drift.trigger.log_entry import MessageShape, drift_message
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import (
    LOCATION,
    MAY_1,
    MONITOR,
    PROJECT,
    drift_event,
    message_body,
    store_job,
)

CONFIG = configuration()
DRIFTED, QUIET = "drifted", "quiet"
CLAIMED = {"description": 0.6, "type": 0.9}
BASES = [
    message_body(drift_event(DRIFTED, CLAIMED)),
    message_body(drift_event(QUIET, CLAIMED)),
    *(
        json.dumps(drift_message(drift_event(job), shape, MAY_1)).encode()
        for job in (DRIFTED, QUIET)
        for shape in MessageShape
    ),
]
KEYS: list[str] = [*json.loads(BASES[0]), *json.loads(BASES[0])["jsonPayload"], "description"]
NAME = f"projects/{PROJECT}/locations/{LOCATION}/modelMonitors/{MONITOR}/modelMonitoringJobs"
KNOWN_PLACES = (
    ("jsonPayload", "modelMonitoringJob"),
    ("details", "model_monitoring_job_name"),
)
MESSAGES_A_TICK = 100
LARGEST = 10_000_000

# The Latin letters of our names, with letters of other scripts that look alike.
LOOK_ALIKES = str.maketrans("aceiopsxy", "асеіорѕху")
INVISIBLE = ["\u200b", "\u200d", "\ufeff", "\u2060", "\u00ad", "\u202e", "\u0000"]
HUGE = [
    "9" * 5_000,
    "1e400",
    "-1e400",
    "1e-400",
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "0.30000000000000000000000001",
    "1" + "0" * 400,
    "true",
    '"0.9"',
    "[0.9]",
    "null",
]


def main(
    inputs: Annotated[int, typer.Option(min=1)] = 1_000_000,
    seed: Annotated[int, typer.Option()] = 1,
    store: Annotated[bool, typer.Option(help="Write benchmarks/results.")] = True,
) -> None:
    """Fuzz the assessment of messages."""
    machine = describe_machine()
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    largest = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="transak-drift-fuzz-") as directory:
        for name, body, assessor in _inputs(Path(directory), inputs, Random(seed)):
            largest = max(largest, len(body))
            counts[name] += 1
            try:
                assessment = assessor.assess(body)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                counts["exceptions"] += 1
                typer.echo(f"{name}: {type(error).__name__}: {error}: {body[:300]!r}")
                continue
            reasons[str(assessment.rejection or assessment.verdict)] += 1
            if assessment.verdict == Verdict.DRIFT and not _may_train(body):
                counts["forged trainings"] += 1
                typer.echo(f"{name}: trains: {body[:2_000]!r}")
    seconds = time.monotonic() - started
    show_table(
        f"{inputs:,} inputs of up to {largest / 1e6:.1f} MB in {seconds:.0f} s",
        ("kind of input", "inputs"),
        [(name, f"{counts[name]:,}") for name in MUTATIONS],
    )
    show_table(
        "Assessments", ("", "inputs"), [(name, f"{n:,}") for name, n in reasons.most_common()]
    )
    figures = {
        "inputs": inputs,
        "seed": seed,
        "largest_bytes": largest,
        "seconds": seconds,
        "kinds": {name: counts[name] for name in MUTATIONS},
        "assessments": dict(reasons),
        "exceptions": counts["exceptions"],
        "forged_trainings": counts["forged trainings"],
    }
    targets = [
        Target("inputs", inputs, 1_000_000, at_most=False),
        Target("exceptions", counts["exceptions"], 0),
        Target("trainings from forged messages", counts["forged trainings"], 0),
    ]
    raise typer.Exit(finish("fuzz", machine, figures, targets, store=store))


def _inputs(root: Path, inputs: int, random: Random) -> Iterator[tuple[str, bytes, Assessor]]:
    store_job(root, CONFIG, DRIFTED, CLAIMED)
    store_job(root, CONFIG, QUIET, {"description": 0.1, "type": 0.3})
    platform = LocalPlatform(root, GeneratorSettings(), publish=lambda config, body: "")
    for number in range(inputs):
        if number % MESSAGES_A_TICK == 0:
            assessor = Assessor([(CONFIG, platform)], datetime.now(UTC))
        name, make = random.choices(list(MUTATIONS.items()), WEIGHTS)[0]
        yield name, make(random), assessor


def _may_train(body: bytes) -> bool:
    """Judge, without the code under test, whether a body names the job that drifted.

    A text of its JSON must be the job's name, byte for byte, and none may be the other job's where
    the drifted one is not in the place of a known shape.
    """
    texts: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, str):
            texts.append(value.removeprefix("//aiplatform.googleapis.com/"))
        elif isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                collect(item)

    document = json.loads(body)
    collect(document)
    drifted, quiet = f"{NAME}/{DRIFTED}", f"{NAME}/{QUIET}"
    return drifted in texts and (quiet not in texts or drifted in _known_places(document))


def _known_places(document: Any) -> Iterator[Any]:
    for section, key in KNOWN_PLACES:
        members = document.get(section) if isinstance(document, dict) else None
        name = members.get(key) if isinstance(members, dict) else None
        if isinstance(name, str):
            yield name.removeprefix("//aiplatform.googleapis.com/")


Mutation = Callable[[Random], bytes]


def _change_bytes(random: Random) -> bytes:
    body = bytearray(random.choice(BASES))
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(body))
        match random.randrange(4):
            case 0:
                body[at] = random.randrange(256)
            case 1:
                del body[at : at + random.randint(1, 20)]
            case 2:
                body[at:at] = random.randbytes(random.randint(1, 8))
            case _:
                start = random.randrange(len(body))
                body[at:at] = body[start : start + random.randint(1, 60)]
        if not body:
            break
    return bytes(body)


def _cut(random: Random) -> bytes:
    body = random.choice(BASES)
    return body[random.randrange(len(body)) :][: random.randrange(len(body))]


def _random_bytes(random: Random) -> bytes:
    return random.randbytes(random.randint(0, 300))


def _invalid_utf8(random: Random) -> bytes:
    bad = random.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
    body = random.choice(BASES)
    at = random.randrange(len(body) + 1)
    return body[:at] + bad + body[at:]


def _change_value(random: Random) -> bytes:
    entry = json.loads(random.choice(BASES))
    for _ in range(random.randint(1, 3)):
        holder: Any = entry
        while True:
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            if not keys:
                break
            key = random.choice(list(keys))
            if isinstance(holder[key], dict | list) and random.random() < 0.7:
                holder = holder[key]
                continue
            if random.random() < 0.2:
                del holder[key]
            else:
                holder[key] = _value(random, 0)
            break
    text = json.dumps(entry, ensure_ascii=random.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def _value(random: Random, depth: int) -> Any:
    match random.randrange(9 if depth < 3 else 7):
        case 0:
            return None
        case 1:
            return random.choice([True, False])
        case 2:
            return random.choice([0, 1, -1, 2**63, 10**400, 0.3, 0.30000000000000004])
        case 3:
            return random.choice([float("nan"), float("inf"), float("-inf"), 1e308, 5e-324])
        case 4:
            return "".join(chr(random.randrange(0x110000)) for _ in range(random.randint(0, 12)))
        case 5:
            return random.choice(["RAW_FEATURE_DRIFT", "2026-05-01T00:00:00Z", "\ud800", ""])
        case 6:
            return random.random()
        case 7:
            return [_value(random, depth + 1) for _ in range(random.randint(0, 4))]
        case _:
            return {random.choice(KEYS): _value(random, depth + 1) for _ in range(3)}


def _number_text(random: Random) -> bytes:
    text = random.choice(BASES).decode()
    found = random.choice(["0.6", "0.9", "0.3"])
    return text.replace(f": {found}", f": {random.choice(HUGE)}").encode()


def _duplicate_keys(random: Random) -> bytes:
    text = random.choice(BASES).decode()
    key = random.choice(
        ["anomalyObjective", "modelMonitoringJob", "deviation", "insertId", "@type"]
    )
    other = random.choice(['"RAW_FEATURE_DRIFT"', '"x"', "0.9", "null", "{}"])
    return text.replace(f'"{key}":', f'"{key}": {other}, "{key}":', 1).encode()


def _nested(random: Random) -> bytes:
    depth = random.choice([10, 500, 1_000, 5_000, 50_000])
    opening, closing = random.choice([("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
    inner = opening * depth + "1" + (closing * depth if random.random() < 0.7 else "")
    text = random.choice(BASES).decode()
    return random.choice([inner, text.replace('"WARNING"', inner)]).encode()


def _large(random: Random) -> bytes:
    size = int(10 ** random.uniform(5, 7))
    filling = random.choice(["a", "\\u0000", "ä", "[", '{"a":', " ", "9", '"'])
    text = random.choice(BASES).decode()
    body = random.choice(
        [
            filling * (size // len(filling)),
            text.replace(DRIFTED, filling * (size // len(filling))),
            text + " " * size,
        ]
    ).encode()
    return body[:LARGEST]


def _forged_name(random: Random) -> bytes:
    true = random.choice([PROJECT, LOCATION, MONITOR, "RAW_FEATURE_DRIFT"])
    match random.randrange(6):
        case 0:
            forged = true.translate(LOOK_ALIKES)
        case 1:
            at = random.randint(0, len(true))
            forged = true[:at] + random.choice(INVISIBLE) + true[at:]
        case 2:
            at = random.randrange(len(true))
            forged = true[:at] + chr(ord(true[at]) ^ (1 << random.randrange(7))) + true[at + 1 :]
        case 3:
            forged = unicodedata.normalize("NFKD", true) + random.choice(
                ["\u0301", " ", "\n", "/", "/..", "%2F", "-2"]
            )
        case 4:
            # Full-width forms, which NFKC maps to ASCII.
            forged = "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in true)
        case _:
            forged = random.choice([true.upper(), true[1:], true[:-1], true * 2, f"x{true}"])
    text = random.choice(BASES).decode().replace(true, json.dumps(forged)[1:-1])
    return text.encode()


def _named_anywhere(random: Random) -> bytes:
    names = [
        f"{NAME}/{random.choice([DRIFTED, QUIET, 'deleted', ''])}",
        f"//aiplatform.googleapis.com/{NAME}/{random.choice([DRIFTED, QUIET])}",
        f"{NAME}/{DRIFTED}/".replace(PROJECT, random.choice(["else-where", "123456789012"])),
        f"{NAME}/{random.choice([DRIFTED, QUIET])}".replace(MONITOR, "4412345678901234567"),
        f"drift in {NAME}/{DRIFTED}",
    ]
    document: Any = {}
    for _ in range(random.randint(1, 3)):
        value: Any = random.choice(names)
        for _ in range(random.randint(0, 3)):
            value = random.choice(
                [[value], {random.choice(KEYS): value}, [_value(random, 2), value]]
            )
        document[random.choice([*KEYS, "details", "subject", "jsonPayload"])] = value
    return json.dumps(document).encode("utf-8", "surrogatepass")


MUTATIONS: dict[str, Mutation] = {
    "changed bytes": _change_bytes,
    "cut": _cut,
    "random bytes": _random_bytes,
    "invalid UTF-8": _invalid_utf8,
    "changed JSON values": _change_value,
    "huge and odd numbers": _number_text,
    "duplicate keys": _duplicate_keys,
    "deep nesting": _nested,
    "up to 10 MB": _large,
    "forged names, look-alikes": _forged_name,
    "jobs named anywhere": _named_anywhere,
}
WEIGHTS = [30, 5, 5, 5, 25, 8, 5, 0.5, 0.1, 15, 6]


if __name__ == "__main__":
    typer.run(main)
