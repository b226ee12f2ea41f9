"""Nothing is lost and nothing is trained twice, whatever fails and in whatever order."""

from __future__ import annotations

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

from transak_drift.drift.monitoring_job import JobState
from transak_drift.trigger.approval import NEWEST, Decision
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift.trigger.message import RejectionReason
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.trigger.drift_messages import MAY_1, MONITOR, drift_event, message_body
from transak_drift_tests.trigger.trigger_world import Fault, Run, TriggerWorld, Write

pytestmark = pytest.mark.slow

DECISIONS = (OutcomeKind.APPROVED, OutcomeKind.DECLINED)
FEATURES = ("amount", "description", "type")
DAYS = range(1, 9)
MAX_SETTLING_TICKS = 120
# Longer than any lease, so that whatever is not acknowledged is delivered again.
PAUSE_SECONDS = 100

BAD_BODIES = {
    "not_json": b"{",
    "no_monitoring_job": b"{}",
    "other_project": message_body(drift_event(project="af-versicherung")),
    "other_monitor": message_body(drift_event(monitor="churn")),
    "job_missing": message_body(drift_event("nowhere")),
}

random_sources = st.randoms(use_true_random=False)
deaths = st.builds(
    Fault,
    dies_before=st.sampled_from(Write),
    after=st.sampled_from([0, 0, 1, 2]),
    stays_away=st.booleans(),
    loses_cursor=st.booleans(),
)
faults = st.one_of(
    deaths,
    deaths,
    deaths,
    st.just(Fault(loses_acknowledgements=True)),
    st.just(Fault(delivers_anything=True)),
    st.just(Fault(launches_fail=True)),
    st.just(Fault(is_out=True)),
    st.just(Fault(has_no_time=True)),
    st.just(Fault(loses_cursor=True)),
    st.builds(Fault, submits_at_most=st.integers(0, 1)),
)


def job_of(day: int) -> str:
    return f"job-{day}"


class TriggerMachine(RuleBasedStateMachine):
    """Publishes, breaks things, and checks the guarantee after every step and at the end."""

    @initialize(
        cooldown=st.sampled_from([0, 0, 30, 600]),
        in_flight=st.sampled_from([1, 1, 2]),
        promotes=st.booleans(),
        approval=st.sampled_from(["automatic", "manual"]),
    )
    def start(
        self, cooldown: int, in_flight: int, promotes: bool, approval: str = "automatic"
    ) -> None:
        self.policy = {
            "cooldown_minutes": cooldown,
            "maximum_trainings_in_flight": in_flight,
            "minimum_anomalous_features": 2,
            "maximum_trainings_per_drift": 50,
        }
        config = configuration(
            drift_thresholds=dict.fromkeys(FEATURES, 0.3),
            retrain_policy={**self.policy, "approval": approval},
        )
        self.world = TriggerWorld(config, on_acknowledged=self.on_acknowledged)
        self.promotes_at_the_end = promotes
        # What people have decided on what they saw, and which is not written yet.
        self.unwritten: list[list[TriggerRecord]] = []
        # What was published, by message id: told apart here without the code under test.
        self.drifted: dict[str, int] = {}
        self.quiet: set[str] = set()
        self.bad: dict[str, RejectionReason] = {}
        self.clock_was_set = False
        self.something_broke = False
        for day in DAYS:
            # Odd days drift in two features, which is enough; day 8 in one, which is not.
            features = FEATURES[:1] if day == 8 else FEATURES[:2]
            state = JobState.UNFINISHED if day == 7 else JobState.SUCCEEDED
            end = MAY_1 + timedelta(days=day)
            self.world.platform.put(job_of(day), dict.fromkeys(features, 0.6), end, state)
        self.world.platform.put("quiet", dict.fromkeys(FEATURES, 0.3))

    # What happens in the world.

    @rule(day=st.sampled_from(DAYS), copies=st.integers(1, 3))
    def publish_drift(self, day: int, copies: int) -> None:
        # What the message claims changes nothing.
        body = message_body(drift_event(job_of(day), {"type": 0.01 * day}))
        for _ in range(copies):
            self.drifted[self.world.subscription.publish(body)] = day

    @rule(day=st.sampled_from(DAYS))
    def find_drift_by_polling(self, day: int) -> None:
        self.world.poll(job_of(day))

    @rule(kind=st.sampled_from(["quiet", *BAD_BODIES]))
    def publish_something_else(self, kind: str) -> None:
        if kind == "quiet":
            body = message_body(drift_event("quiet", {"type": 0.99}))
            self.quiet.add(self.world.subscription.publish(body))
        else:
            message_id = self.world.subscription.publish(BAD_BODIES[kind])
            self.bad[message_id] = RejectionReason(kind)

    @precondition(lambda self: self.is_manual())
    @rule(
        name=st.sampled_from([NEWEST, *(job_of(day) for day in DAYS)]),
        decision=st.sampled_from(Decision),
        by=st.sampled_from(["anna", "ben"]),
        is_slow=st.booleans(),
    )
    def a_person_decides(self, name: str, decision: Decision, by: str, is_slow: bool) -> None:
        if records := self.world.decision(name, decision, by):
            self.unwritten.append(records)
        if not is_slow:
            self.write_decisions()

    @precondition(lambda self: self.unwritten)
    @rule()
    def write_decisions(self) -> None:
        self.world.log += self.unwritten
        self.unwritten = []

    @precondition(lambda self: self.is_manual())
    @rule(
        random=random_sources,
        day=st.sampled_from(DAYS),
        decisions=st.lists(st.sampled_from(Decision), min_size=1, max_size=2),
        fault=faults,
        switches=st.booleans(),
        ticks_between=st.booleans(),
    )
    def people_decide_at_once_and_meet_a_fault(
        self,
        random: Random,
        day: int,
        decisions: list[Decision],
        fault: Fault,
        switches: bool,
        ticks_between: bool,
    ) -> None:
        for run in self.launched_runs():
            self.finish(run)
        self.publish_drift(day, copies=1)
        self.tick(random, 8)
        for decision in decisions:
            self.a_person_decides(NEWEST, decision, "anna", is_slow=True)
        if switches:
            self.switch_approval()
        while self.unwritten:
            self.world.log.append(self.unwritten.pop(0))
            if ticks_between or not self.unwritten:
                self.tick_badly(random, fault)

    @rule()
    def switch_approval(self) -> None:
        other = "automatic" if self.is_manual() else "manual"
        policy = self.world.config.retrain_policy.model_copy(update={"approval": other})
        update = {"retrain_policy": policy}
        self.world.config = self.world.config.model_copy(update=update)

    @rule(days=st.sets(st.sampled_from(DAYS), max_size=3))
    def labels_come_and_go(self, days: set[int]) -> None:
        self.world.unlabelled = {job_of(day) for day in days}

    @rule(is_slow=st.booleans())
    def somebody_checks_the_labels(self, is_slow: bool) -> None:
        if records := self.world.checked_labels():
            self.unwritten.append(records)
        if not is_slow:
            self.write_decisions()

    @rule(seconds=st.sampled_from([1, 29, 61, 91, 700, 40_000]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.subscription.seconds += seconds
        self.world.now += timedelta(seconds=seconds)

    @rule(minutes=st.sampled_from([-700, -1, 1, 700]))
    def set_the_clock(self, minutes: int) -> None:
        self.world.now += timedelta(minutes=minutes)
        self.clock_was_set = True

    @rule()
    def end_the_unfinished_job(self) -> None:
        drift = dict.fromkeys(FEATURES[:2], 0.6)
        self.world.platform.put(job_of(7), drift, MAY_1 + timedelta(days=7))

    @precondition(lambda self: self.launched_runs())
    @rule(random=random_sources, promoted=st.booleans(), further_days=st.integers(0, 2))
    def finish_a_training(self, random: Random, promoted: bool, further_days: int) -> None:
        run = random.choice(self.launched_runs())
        self.finish(run)
        if promoted:
            reached = run.window_end + timedelta(days=further_days)
            self.world.trained_until = max(reached, self.world.trained_until or reached)

    @rule(random=random_sources, maximum=st.integers(0, 8))
    def tick(self, random: Random, maximum: int) -> None:
        self.world.tick(maximum, random.shuffle)

    @rule(random=random_sources, fault=faults)
    def tick_badly(self, random: Random, fault: Fault) -> None:
        self.something_broke = True
        self.world.tick(8, random.shuffle, fault)

    @rule(random=random_sources, day=st.sampled_from(DAYS), fault=faults)
    def drift_meets_a_fault(self, random: Random, day: int, fault: Fault) -> None:
        # Left to chance, a fault seldom strikes just the tick that requests a training.
        for run in self.launched_runs():
            run.is_finished = True
        self.publish_drift(day, copies=1)
        self.tick_badly(random, fault)

    def finish(self, run: Run) -> None:
        run.is_finished = True
        self.world.evaluated_at = self.world.now

    # What must hold.

    def is_manual(self) -> bool:
        return self.world.config.retrain_policy.approval == "manual"

    def first_decision(self, key: str) -> OutcomeKind | None:
        """Return what was decided first, where that was before a training was requested."""
        ends = (*DECISIONS, OutcomeKind.TRAINING_REQUESTED, OutcomeKind.SUPERSEDED)
        kinds = (item.kind for item in self.world.records() if item.key == key)
        first = next((kind for kind in kinds if kind in ends), None)
        return first if first in DECISIONS else None

    def launched_runs(self) -> list[Run]:
        return [run for run in self.world.runs.values() if run.launches and not run.is_finished]

    def key(self, day: int) -> str:
        return f"{MONITOR}/{job_of(day)}"

    def recorded(self, *kinds: OutcomeKind) -> set[str]:
        return {record.key for record in self.world.records() if record.kind in kinds}

    def on_acknowledged(self, message_id: str) -> None:
        """Check, at the moment of an acknowledgement, that its outcome is durable."""
        if message_id in self.bad:
            letter = (message_id, self.bad[message_id])
            # While the platform is out, a message that names a job waits in the log.
            assert letter in self.world.dead_letters or self.recorded(OutcomeKind.WAITING)
        else:
            is_quiet = message_id in self.quiet
            job = "quiet" if is_quiet else job_of(self.drifted[message_id])
            outcome = OutcomeKind.NOT_DRIFT if is_quiet else OutcomeKind.DRIFT
            known = self.recorded(outcome, OutcomeKind.WAITING)
            assert any(key.endswith(f"/{job}") for key in known)

    @invariant()
    def no_event_has_two_trainings(self) -> None:
        drifted = {self.key(day) for day in DAYS}
        for key, run in self.world.runs.items():
            assert key in drifted, "a training without drift"
            assert run.launches <= 1

    @invariant()
    def nothing_trains_against_what_was_decided_first(self) -> None:
        for key in self.world.runs:
            decided = self.first_decision(key)
            assert decided != OutcomeKind.DECLINED, f"{key} was declined"
            if self.world.needed_approval[key]:
                assert decided == OutcomeKind.APPROVED, f"{key} was approved by nobody"

    @invariant()
    def nothing_trains_that_lacked_labels_when_it_was_requested(self) -> None:
        assert not any(self.world.lacked_labels[key] for key in self.world.runs)

    @invariant()
    def no_good_message_is_a_dead_letter(self) -> None:
        dead = {message_id for message_id, _ in self.world.dead_letters}
        assert dead <= self.bad.keys()

    @invariant()
    def the_log_alone_says_what_is_open(self) -> None:
        open_keys = self.world.inbox().open.keys()
        ends = (OutcomeKind.TRAINING_STARTED, OutcomeKind.SUPERSEDED, OutcomeKind.DECLINED)
        answered = self.recorded(*ends)
        assert self.recorded(OutcomeKind.DRIFT) <= {*open_keys, *answered}

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
        assert self.key(8) not in self.world.runs, "one drifted feature is too few"

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.end_the_unfinished_job()
        self.world.unlabelled.clear()
        self.settle()
        world = self.world
        for message_id, message in world.subscription.messages.items():
            assert message.acknowledged, f"message {message_id} is left unacknowledged"
        # Copies of one that waited while the platform was out are duplicates of it.
        reasons = {reason for _, reason in world.dead_letters}
        assert {str(reason) for reason in self.bad.values()} == {str(reason) for reason in reasons}
        known = {*self.drifted.values()} | {
            day for day in DAYS if self.key(day) in self.recorded(OutcomeKind.DRIFT)
        }
        inbox = world.inbox()
        for day in known:
            key = self.key(day)
            trained = key in world.runs and world.runs[key].launches == 1
            superseded = key in self.recorded(OutcomeKind.SUPERSEDED)
            too_few = day == 8 and key in inbox.open and key in self.recorded(OutcomeKind.HELD)
            declined = self.first_decision(key) == OutcomeKind.DECLINED
            answers = (trained, superseded, too_few, declined)
            assert sum(answers) == 1, (key, *answers)

    def check_everything(self) -> None:
        self.no_event_has_two_trainings()
        self.nothing_trains_against_what_was_decided_first()
        self.nothing_trains_that_lacked_labels_when_it_was_requested()
        self.no_good_message_is_a_dead_letter()
        self.the_log_alone_says_what_is_open()
        self.the_policy_is_kept()

    def settle(self) -> None:
        """Let everything be delivered and finished, and time pass, until nothing changes."""
        world = self.world
        random = Random(0)
        quiet_ticks = 0
        for _ in range(MAX_SETTLING_TICKS):
            before = self.everything()
            world.tick(8, random.shuffle)
            self.write_decisions()
            if self.is_manual():
                self.a_person_decides(NEWEST, Decision.approve, "anna", is_slow=False)
            self.check_everything()
            for run in self.launched_runs():
                self.finish(run)
                if self.promotes_at_the_end:
                    reached = run.window_end
                    world.trained_until = max(reached, world.trained_until or reached)
            pause = timedelta(minutes=self.policy["cooldown_minutes"], seconds=PAUSE_SECONDS)
            world.now += pause
            world.subscription.seconds += pause.total_seconds()
            quiet_ticks = quiet_ticks + 1 if self.everything() == before else 0
            if quiet_ticks == 3:
                return
        raise AssertionError(f"not settled after {MAX_SETTLING_TICKS} ticks: {world.inbox()}")

    def everything(self) -> str:
        world = self.world
        return repr((len(world.log), world.runs, world.subscription.messages))


TestTriggerInvariant = TriggerMachine.TestCase
TestTriggerInvariant.settings = settings(deadline=None, max_examples=80, stateful_step_count=40)


@pytest.mark.parametrize("promotes", [True, False])
@pytest.mark.parametrize("loses_cursor", [True, False])
@pytest.mark.parametrize("dies_before", Write)
def test_a_death_before_any_write_of_any_tick_is_harmless(
    dies_before: Write, loses_cursor: bool, promotes: bool
) -> None:
    deaths = 0
    for struck_tick, after in product(range(5), range(3)):
        machine = TriggerMachine()
        machine.start(cooldown=10, in_flight=1, promotes=promotes)
        fault = Fault(
            dies_before=dies_before, after=after, stays_away=True, loses_cursor=loses_cursor
        )
        for number in range(5):
            if number < 3:
                machine.publish_drift(day=1 + number, copies=2)
                machine.find_drift_by_polling(day=2 + number)
                machine.publish_something_else("quiet")
                machine.publish_something_else("not_json")
            world = machine.world
            world.tick(8, Random(number).shuffle, fault if number == struck_tick else None)
            machine.check_everything()
            for run in machine.launched_runs():
                run.is_finished = True
            machine.let_time_pass(700)
        machine.teardown()
        deaths += machine.world.deaths
    assert deaths >= 3, f"hardly a tick came to a {dies_before.value} to die before"
