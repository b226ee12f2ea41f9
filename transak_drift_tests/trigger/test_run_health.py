"""Which runs no worker carries, from what a watch sees of their heartbeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from transak_drift.trigger.run_health import HEARTBEATS_MISSED, MIN_SIGHTINGS, RunHealth

START = datetime(2026, 5, 4, tzinfo=UTC)
BEAT = 20.0
SILENCE = HEARTBEATS_MISSED * BEAT


def look(health: RunHealth, beat: str, seconds: float) -> tuple[RunHealth, list[str]]:
    now = START + timedelta(seconds=seconds)
    restored = RunHealth.from_cursor(health.model_dump_json())
    return restored.after_look({"run": beat}, now, BEAT)


def test_a_run_is_dead_when_its_heartbeat_stood_still_for_the_whole_silence() -> None:
    health, found = RunHealth(), []
    for seconds in range(0, int(SILENCE), 30):
        health, dead = look(health, "beat", seconds)
        found += dead
    assert found == []
    assert look(health, "beat", SILENCE)[1] == ["run"]


def test_a_beat_in_time_keeps_a_run_alive() -> None:
    health, _ = look(RunHealth(), "first", 0)
    for seconds in (60, 120, 170):
        health, _ = look(health, "first", seconds)
    health, dead = look(health, "second", SILENCE)
    assert dead == []
    assert look(health, "second", SILENCE + BEAT)[1] == []


def test_after_a_pause_of_the_machine_the_watch_looks_again_first() -> None:
    health, _ = look(RunHealth(), "before the pause", 0)
    for number in range(2, MIN_SIGHTINGS):
        health, dead = look(health, "before the pause", 10 * SILENCE + number)
        assert dead == []
    assert look(health, "before the pause", 10 * SILENCE + MIN_SIGHTINGS)[1] == ["run"]


def test_a_finished_run_is_forgotten_and_an_unreadable_cursor_starts_again() -> None:
    health, _ = look(RunHealth(), "beat", 0)
    assert health.after_look({}, START, BEAT) == (RunHealth(), [])
    assert RunHealth.from_cursor("{") == RunHealth() == RunHealth.from_cursor(None)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.floats(-1e9, 1e9))
def test_no_clock_makes_a_run_dead_that_beats_between_two_looks(
    clock: list[float], skew: float
) -> None:
    health = RunHealth()
    for number, seconds in enumerate(clock):
        health, dead = look(health, f"{skew + number}", seconds)
        assert dead == []
