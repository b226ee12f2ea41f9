"""Labels as a gate: a drift event waits until the rows of its window have enough of them.

The drift message sensor asks the gate at each tick; it counts where the platform says that the
labels may have changed, and where `transak-drift labels check` has just found them complete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs import keys
from transak_drift.defs.drift_event_log import read_all_records, write_records
from transak_drift.drift.drift_event import DriftEvent
from transak_drift.platform import DriftPlatform, PlatformError, TemporaryPlatformError
from transak_drift.training.labels import LabelVerdict, judge_labels
from transak_drift.trigger.inbox import Inbox, OutcomeKind, TriggerRecord


@dataclass(frozen=True, slots=True)
class FoundLabels:
    """The step that follows from a window's labels; no verdict where they cannot be counted."""

    kind: OutcomeKind
    detail: str
    verdict: LabelVerdict | None = None


@dataclass(slots=True)
class LabelMemory:
    """What a process has found, by drift event, and the state of the labels at that time.

    It saves counting again: another process counts once more.
    """

    found: dict[str, tuple[str, FoundLabels]] = field(default_factory=dict)

    def keep_only(self, events: Collection[str]) -> None:
        self.found = {key: found for key, found in self.found.items() if key in events}


@dataclass(frozen=True, slots=True)
class LabelGate:
    """The gate of one model; `may_count` tells whether a tick has time left to count."""

    config: MonitoringConfig
    platform: DriftPlatform
    memory: LabelMemory
    may_count: Callable[[], bool]

    def __call__(self, item: TriggerRecord, event: DriftEvent) -> tuple[OutcomeKind, str] | None:
        window = self.config.windows.ending_at(event.window_end)
        state = self.platform.label_state(self.config, window)
        known, found = self.memory.found.get(event.key, ("", None))
        if found is None or known != state or item.kind == OutcomeKind.LABELS_COMPLETE:
            if not self.may_count():
                # As it is, until a later tick.
                return item.kind, item.detail
            found = look_at_labels(self.platform, self.config, event)
            self.memory.found[event.key] = (state, found)
        is_complete = found.kind == OutcomeKind.LABELS_COMPLETE
        return None if is_complete else (found.kind, found.detail)

    def with_labels(self, step: TriggerRecord) -> TriggerRecord:
        """Return a step with what was found of the labels, where it is about them."""
        _, found = self.memory.found.get(step.key, ("", None))
        if found is None or (step.kind, step.detail) != (found.kind, found.detail):
            return step
        return step.model_copy(update={"labels": found.verdict})


def look_at_labels(
    platform: DriftPlatform, config: MonitoringConfig, event: DriftEvent
) -> FoundLabels:
    """Count the labels of an event's window, and judge them by the configuration's `labels`.

    A platform that does not answer raises; what else cannot be counted is waited for.
    """
    assert config.labels is not None
    try:
        counts = platform.count_labels(config, config.windows.ending_at(event.window_end))
    except TemporaryPlatformError:
        raise
    except PlatformError as error:
        reason = f"they cannot be counted: {error}"[:500]
        return FoundLabels(OutcomeKind.AWAITING_LABELS, reason)
    verdict = judge_labels(counts, config.labels, config.label_column)
    kind = OutcomeKind.LABELS_COMPLETE if verdict.is_complete else OutcomeKind.AWAITING_LABELS
    return FoundLabels(kind, verdict.summary(), verdict)


def check_labels(
    instance: dg.DagsterInstance, platform: DriftPlatform, config: MonitoringConfig
) -> list[TriggerRecord]:
    """Count the labels of each event that awaits them, newest window first, and record changes.

    The next tick of the sensor requests the trainings. A `PlatformError` tells why the platform
    does not answer.
    """
    asset = keys.ModelNames.of(config).asset(keys.DRIFT_EVENT)
    inbox, now = Inbox(), datetime.now(UTC)
    inbox.add(read_all_records(instance, asset))
    waiting = [it for it in inbox.undecided() if it[0].kind == OutcomeKind.AWAITING_LABELS]
    waiting.sort(key=lambda pair: pair[1].window_end, reverse=True)
    records, changed = [], []
    for item, event in waiting:
        found = look_at_labels(platform, config, event)
        record = TriggerRecord(
            kind=found.kind,
            key=event.key,
            detail=found.detail,
            at=now,
            event=event,
            by=item.by,
            labels=found.verdict,
        )
        records.append(record)
        if (record.kind, record.detail) != (item.kind, item.detail):
            changed.append(record)
    write_records(instance, asset, changed)
    return records
