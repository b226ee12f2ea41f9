"""Windows for tests."""

from __future__ import annotations

from datetime import date

from transak_drift.config.monitoring_window import Window


def day_window(day: date) -> Window:
    return Window(day, day)
