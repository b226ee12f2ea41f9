"""Nothing is lost and nothing is trained twice, whatever fails and in whatever order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from transak_drift.trigger.trigger_state import TriggerState

from transak_drift.trigger.inbox import OutcomeKind
from transak_drift.trigger.message import RejectionReason
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, drift_event, message_body
from transak_drift_tests.trigger.trigger_world import Fault, RunStatus, TriggerWorld, Write

FEATURES = ("amount", "description", "type")
DAYS = range(1, 9)
MOST_SETTLING_TICKS = 120
# Longer than any lease, so that whatever is not acknowledged is delivered again.
PAUSE_SECONDS = 100

BAD_BODIES = {
    "not_json": b"{",
    "wrong_shape": b"{}",
    "other_project": message_body(replace(drift_event(), project="af-versicherung")),
    "other_monitor": message_body(replace(drift_event(), model_monitor_id="churn")),
}

random_sources = st.randoms(use_true_random=False)
deaths = st.builds(
    Fault,
    dies_before=st.sampled_from(Write),
    after=st.sampled_from([0, 0, 1, 2]),
    stays_away=st.booleans(),
)
faults = st.one_of(
    deaths,
    deaths,
    deaths,
    st.just(Fault(loses_acknowledgements=True)),
    st.just(Fault(delivers_anything=True)),
    st.just(Fault(launches_fail=True)),
    st.builds(Fault, submits_at_most=st.integers(0, 1)),
)


def job_of(day: int) -> str:
    return f"job-{day}"


class TriggerMachine(RuleBasedStateMachine):
    """Publishes, breaks things, and checks the guarantee after every step and at the end."""

    @initialize(
        cooldown=st.sampled_from([0, 0, 30, 600]),
        in_flight=st.sampled_from([1, 1, 2]),
        features=st.sampled_from([1, 1, 2]),
        promotes=st.booleans(),
    )
    def start(self, cooldown: int, in_flight: int, features: int, promotes: bool) -> None:
        self.policy = {
            "cooldown_minutes": cooldown,
            "maximum_trainings_in_flight": in_flight,
            "minimum_anomalous_features": features,
        }
        config = configuration(
            drift_thresholds=dict.fromkeys(FEATURES, 0.3), retrain_policy=self.policy
        )
        self.world = TriggerWorld(config, on_acknowledged=self.on_acknowledged)
        self.promotes_at_the_end = promotes
        # What was published, by message id: told apart here without the code under test.
        self.drifted: dict[str, int] = {}
        self.within: dict[str, int] = {}
        self.bad: dict[str, RejectionReason] = {}
        self.features: dict[int, set[str]] = {}
        self.clock_was_set = False
        self.something_broke = False

    # What happens in the world.

    @rule(
        day=st.sampled_from(DAYS),
        features=st.sets(st.sampled_from(FEATURES), min_size=1),
        copies=st.integers(1, 3),
    )
    def publish_drift(self, day: int, features: set[str], copies: int) -> None:
        deviations = dict.fromkeys(sorted(features), 0.6)
        body = message_body(drift_event(job_of(day), deviations, end=MAY_1 + timedelta(days=day)))
        for _ in range(copies):
            self.drifted[self.world.subscription.publish(body)] = day
        self.features.setdefault(day, set()).update(features)

    @rule(
        kind=st.sampled_from(["within", *BAD_BODIES]),
        day=st.sampled_from(DAYS),
        feature=st.sampled_from(FEATURES),
    )
    def publish_something_else(self, kind: str, day: int, feature: str) -> None:
        if kind == "within":
            body = message_body(drift_event(job_of(day), {feature: 0.3}))
            self.within[self.world.subscription.publish(body)] = day
        else:
            body = BAD_BODIES[kind]
            self.bad[self.world.subscription.publish(body)] = RejectionReason(kind)

    @rule(seconds=st.sampled_from([1, 29, 61, 91, 700, 40_000]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.subscription.seconds += seconds
        self.world.now += timedelta(seconds=seconds)

    @rule(minutes=st.sampled_from([-100_000, -700, -1, 1, 700, 100_000]))
    def set_the_clock(self, minutes: int) -> None:
        self.world.now += timedelta(minutes=minutes)
        self.clock_was_set = True

    @precondition(lambda self: self.launched_runs())
    @rule(random=random_sources, promoted=st.booleans(), further_days=st.integers(0, 2))
    def finish_a_training(self, random: Random, promoted: bool, further_days: int) -> None:
        run = random.choice(self.launched_runs())
        run.status = RunStatus.FINISHED
        if promoted:
            reached = run.event.window_end + timedelta(days=further_days)
            self.world.trained_until = max(reached, self.world.trained_until or reached)

    @rule(random=random_sources, maximum=st.integers(0, 8))
    def tick(self, random: Random, maximum: int) -> None:
        self.world.tick(maximum, random.shuffle)

    @rule(random=random_sources, fault=faults)
    def tick_badly(self, random: Random, fault: Fault) -> None:
        self.something_broke = True
        self.world.tick(8, random.shuffle, fault)

    @rule(
        random=random_sources,
        day=st.sampled_from(DAYS),
        features=st.sets(st.sampled_from(FEATURES), min_size=1),
        fault=faults,
    )
    def drift_meets_a_fault(
        self, random: Random, day: int, features: set[str], fault: Fault
    ) -> None:
        # Left to chance, a fault seldom strikes just the tick that requests a training.
        for run in self.launched_runs():
            run.status = RunStatus.FINISHED
        self.publish_drift(day, features, copies=1)
        self.tick_badly(random, fault)

    # What must hold.

    def launched_runs(self) -> list:
        return [run for run in self.world.runs.values() if run.status == RunStatus.LAUNCHED]

    def key(self, day: int) -> str:
        return f"{MONITOR}/{job_of(day)}"

    def recorded(self, kind: OutcomeKind) -> set[str]:
        return {
            outcome.event.key
            for outcome in self.world.outcomes
            if outcome.kind == kind and outcome.event is not None
        }

    def on_acknowledged(self, message_id: str) -> None:
        """Check, at the moment of an acknowledgement, that its outcome is durable."""
        world = self.world
        if message_id in self.bad:
            assert (message_id, self.bad[message_id]) in world.dead_letters
        elif message_id in self.within:
            assert self.key(self.within[message_id]) in self.recorded(OutcomeKind.NOT_DRIFT)
        else:
            key = self.key(self.drifted[message_id])
            has_run = key in world.runs and world.runs[key].status != RunStatus.NOT_STARTED
            assert has_run or key in self.recorded(OutcomeKind.HELD)

    @invariant()
    def no_event_has_two_trainings(self) -> None:
        drifted = {self.key(day) for day in self.drifted.values()}
        for key, run in self.world.runs.items():
            assert key in drifted, "a training without drift"
            assert run.launches <= 1

    @invariant()
    def no_acknowledged_event_is_forgotten(self) -> None:
        world = self.world
        known = {*world.state.held, *world.state.requested, *world.state.superseded, *world.runs}
        for message_id, day in self.drifted.items():
            if world.subscription.messages[message_id].acknowledged:
                assert self.key(day) in known

    @invariant()
    def no_good_message_is_a_dead_letter(self) -> None:
        assert dict(self.world.dead_letters).items() <= self.bad.items()

    @invariant()
    def the_policy_is_kept(self) -> None:
        assert self.world.history().in_flight <= self.policy["maximum_trainings_in_flight"]
        cooldown = timedelta(minutes=self.policy["cooldown_minutes"])
        starts = sorted(run.created for run in self.world.runs.values())
        # A request whose run was not created at once counts from the request, not from the run.
        one_at_a_time = self.policy["maximum_trainings_in_flight"] == 1
        if not self.clock_was_set and (one_at_a_time or not self.something_broke):
            for earlier, later in pairwise(starts):
                assert later - earlier >= cooldown
        for run in self.world.runs.values():
            assert len(run.event.anomalies) >= self.policy["minimum_anomalous_features"]

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.settle()
        world = self.world
        for message_id, message in world.subscription.messages.items():
            assert message.acknowledged, f"message {message_id} is left unacknowledged"
        assert dict(world.dead_letters) == self.bad
        for day in self.within.values():
            assert self.key(day) in self.recorded(OutcomeKind.NOT_DRIFT)
        assert not world.state.requested
        for day, features in self.features.items():
            key = self.key(day)
            reasons = Counter(
                {
                    "trained": key in world.runs and world.runs[key].launches == 1,
                    "superseded": key in self.recorded(OutcomeKind.SUPERSEDED),
                    "too few features": (
                        key in world.state.held
                        and key in self.recorded(OutcomeKind.HELD)
                        and len(features) < self.policy["minimum_anomalous_features"]
                    ),
                }
            )
            assert reasons.total() == 1, f"{key} of {sorted(features)}: {dict(reasons)}"

    def check_everything(self) -> None:
        self.no_event_has_two_trainings()
        self.no_acknowledged_event_is_forgotten()
        self.no_good_message_is_a_dead_letter()
        self.the_policy_is_kept()

    def settle(self) -> None:
        """Let everything be delivered and finished, and time pass, until nothing changes."""
        world = self.world
        random = Random(0)
        quiet_ticks = 0
        for _ in range(MOST_SETTLING_TICKS):
            before = self.everything()
            world.tick(8, random.shuffle)
            self.check_everything()
            for run in self.launched_runs():
                run.status = RunStatus.FINISHED
                if self.promotes_at_the_end:
                    reached = run.event.window_end
                    world.trained_until = max(reached, world.trained_until or reached)
            pause = timedelta(minutes=self.policy["cooldown_minutes"], seconds=PAUSE_SECONDS)
            world.now += pause
            world.subscription.seconds += pause.total_seconds()
            quiet_ticks = quiet_ticks + 1 if self.everything() == before else 0
            if quiet_ticks == 3:
                return
        raise AssertionError(f"not settled after {MOST_SETTLING_TICKS} ticks: {world.state}")

    def everything(self) -> tuple:
        world = self.world
        state = TriggerState.from_cursor(world.cursor)
        return (
            {key: entry.event for key, entry in state.held.items()},
            state.requested,
            state.recorded,
            {key: run.status for key, run in world.runs.items()},
            [message.acknowledged for message in world.subscription.messages.values()],
        )


TestTriggerInvariant = TriggerMachine.TestCase
TestTriggerInvariant.settings = settings(deadline=None, max_examples=300, stateful_step_count=40)


@pytest.mark.parametrize("promotes", [True, False])
@pytest.mark.parametrize("stays_away", [True, False])
@pytest.mark.parametrize("dies_before", Write)
def test_a_death_before_any_write_of_any_tick_is_harmless(
    dies_before: Write, stays_away: bool, promotes: bool
) -> None:
    deaths = 0
    for struck_tick, after in product(range(5), range(3)):
        machine = TriggerMachine()
        machine.start(cooldown=10, in_flight=1, features=1, promotes=promotes)
        fault = Fault(dies_before=dies_before, after=after, stays_away=stays_away)
        for number in range(5):
            if number < 3:
                machine.publish_drift(day=1 + number, features={"type"}, copies=2)
                machine.publish_something_else("within", day=8, feature="amount")
                machine.publish_something_else("not_json", day=8, feature="amount")
            world = machine.world
            world.tick(8, Random(number).shuffle, fault if number == struck_tick else None)
            machine.check_everything()
            for run in machine.launched_runs():
                run.status = RunStatus.FINISHED
            machine.let_time_pass(700)
        machine.teardown()
        deaths += machine.world.deaths
    assert deaths >= 3, f"hardly a tick came to a {dies_before.value} to die before"
