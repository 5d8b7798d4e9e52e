"""An invitation that a channel sends, under crashes, late records and whatever its customer does meanwhile."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.trigger.dispatch import _change
from services.trigger.store.invitations import OPEN, Change
from shared.contracts.values import InvitationState as State
from shared.webhook import Reply

REPLIES = st.sampled_from(
    [
        Reply(204, None, "", None, 0.1),
        Reply(500, None, "oops", None, 0.1),
        Reply(429, None, "", 3600.0, 0.1),
        Reply(410, None, "", None, 0.1),
        Reply(None, "no complete answer", "", None, 2.0, timed_out=True),
        None,
    ]
)
TOLD = {State.ANSWERED, State.STOPPED}
"""What a customer has done is never undone."""


@dataclass
class Row:
    """The columns that the sending reads and writes."""

    state: State
    expires_at: datetime
    attempts: int = 0
    send_at: datetime | None = None


class Sending(RuleBasedStateMachine):
    """Senders claim, call and record, or die in between; the customer answers or stops; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.at = datetime(2026, 11, 23, tzinfo=UTC)
        self.row = Row(State.MADE, self.at + timedelta(days=2), send_at=self.at)
        self.under_way: list[Reply | None] = []
        self.ever: list[State] = [State.MADE]

    @precondition(lambda self: self.row.send_at is not None)
    @rule(reply=REPLIES)
    def claim_and_call(self, reply: Reply | None) -> None:
        """Also when the lease of another has lapsed, who may still come back with what was answered."""
        assert self.row.send_at is not None
        self.at = max(self.at, self.row.send_at)
        if self.row.state is State.MADE:
            self._move(State.SENDING)
        self.under_way.append(reply)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        reply = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        before = self.row.state
        change: Change = _change(self.row, reply, self.at)
        self.row.send_at = change.send_at
        if change.attempts is not None:
            self.row.attempts = change.attempts
        if before is not State.SENDING:
            assert change.state == before, "a late record moved an invitation"
            assert change.send_at is None, "a late record has an invitation sent again"
        if change.send_at is not None:
            assert self.at < change.send_at < self.row.expires_at
        self._move(State(change.state))

    @precondition(lambda self: self.under_way)
    @rule()
    def die(self) -> None:
        self.under_way.clear()

    @precondition(lambda self: self.row.state in OPEN or self.row.state is State.EXPIRED)
    @rule()
    def answer(self) -> None:
        self._end(State.ANSWERED)

    @precondition(lambda self: self.row.state in OPEN)
    @rule()
    def stop(self) -> None:
        self._end(State.STOPPED)

    @precondition(lambda self: self.row.state in OPEN)
    @rule()
    def expire(self) -> None:
        self.at = max(self.at, self.row.expires_at)
        self._end(State.EXPIRED)

    @rule(minutes=st.integers(1, 600))
    def time_passes(self, minutes: int) -> None:
        self.at += timedelta(minutes=minutes)

    @invariant()
    def what_the_customer_did_stays(self) -> None:
        told = [state for state in self.ever if state in TOLD]
        assert len(told) <= 1
        assert not told or self.ever[-1] is told[0]

    @invariant()
    def what_was_handed_over_is_not_sent_again(self) -> None:
        if State.SENT in self.ever:
            assert State.SENDING not in self.ever[self.ever.index(State.SENT) :]
            assert self.row.send_at is None

    def _end(self, state: State) -> None:
        """As the store does: nothing is to be sent any more."""
        self.row.send_at = None
        self._move(state)

    def _move(self, state: State) -> None:
        if state is not self.row.state:
            self.ever.append(state)
        self.row.state = state


TestSending = Sending.TestCase
TestSending.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
