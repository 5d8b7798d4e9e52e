"""A delivery under crashes, late records and replays: nothing that arrived is undone, nothing is given up in silence."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.alerting.rules.sending import Standing, after_attempt
from shared.webhook import Reply, outcome
from shared.webhook.schedule import RETRY_SCHEDULE

REPLIES = {
    "taken": Reply(204, None, "", None, 0.1),
    "oops": Reply(500, None, "oops", None, 0.1),
    "throttled": Reply(429, None, "", 120.0, 0.1),
    "gone": Reply(410, None, "", None, 0.1),
    "broken off": Reply(200, "the answer broke off", "", None, 0.1),
    "timed out": Reply(None, "no complete answer", "", None, 2.0, timed_out=True),
}
BAD = [reply for name, reply in REPLIES.items() if name != "taken"]


class Delivering(RuleBasedStateMachine):
    """Dispatchers claim, call and record. One may die after its call, or record it when its lease has lapsed and
    another has sent it too; an operator replays, an endpoint is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.at = datetime(2026, 11, 23, tzinfo=UTC)
        self.standing = Standing("pending", None, self.at)
        self.spent = 0
        self.under_way: list[Reply] = []
        self.arrived = False
        """And recorded, since the last replay."""

    @precondition(lambda self: self.standing.state == "pending")
    @rule(reply=st.sampled_from(list(REPLIES.values())))
    def claim_and_call(self, reply: Reply) -> None:
        self.at = max(self.at, self.standing.due_at) + timedelta(seconds=1)
        self.under_way.append(reply)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        reply = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self._record(reply, data.draw(st.floats(0, 1, exclude_max=True)))

    @precondition(lambda self: self.under_way)
    @rule()
    def die(self) -> None:
        """Nobody will ever know what came of these calls."""
        self.under_way.clear()

    @rule()
    def replay(self) -> None:
        self.standing = Standing("pending", None, self.at)
        self.spent, self.arrived = 0, False

    @precondition(lambda self: self.standing.state == "pending")
    @rule()
    def delete_the_endpoint(self) -> None:
        self.standing = Standing("cancelled", "endpoint_deleted", self.standing.due_at)

    @precondition(lambda self: self.standing.state == "pending")
    @rule(data=st.data())
    def go_on_until_it_is_settled(self, data: st.DataObject) -> None:
        """A receiver that never takes it costs no more than the schedule, and ends among what can be replayed."""
        while self.standing.state == "pending":
            self._record(data.draw(st.sampled_from(BAD)), 0.5)
        assert self.standing.state == "failed"
        assert self.standing.reason in ("gone", "exhausted")

    @invariant()
    def what_arrived_stays_delivered(self) -> None:
        if self.arrived:
            assert self.standing == Standing("delivered", None, self.standing.due_at)

    @invariant()
    def what_waits_is_due_within_a_day_and_a_bit(self) -> None:
        if self.standing.state == "pending":
            assert self.standing.due_at <= self.at + timedelta(hours=24) * 1.2
            assert self.spent < len(RETRY_SCHEDULE)

    def _record(self, reply: Reply, jitter: float) -> None:
        before = self.standing
        self.spent += 1
        if (
            outcome(reply) == "delivered"
        ):  # written over whatever stands there, without a look at it
            self.standing, self.arrived = Standing("delivered", None, before.due_at), True
            return
        self.standing = after_attempt(before, self.spent, reply, self.at, jitter)
        if before.state != "pending":
            assert self.standing == before, "a late record changed what was settled"
        if self.standing.state == "pending":
            assert self.standing.due_at > self.at
            asked = reply.retry_after_seconds or 0.0
            assert self.standing.due_at >= self.at + timedelta(seconds=asked)


TestDelivering = Delivering.TestCase
TestDelivering.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
