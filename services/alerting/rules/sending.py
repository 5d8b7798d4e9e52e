"""Decides how much is sent to whom at once, and what an attempt leads to; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.webhook import Reply, next_attempt, outcome

MOST_AT_ONCE = 16
_MOST_AHEAD = 16
_QUICK_SECONDS = 0.5
_WORTH_A_CLAIM = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How one endpoint is sent to: how many attempts at once, and how many claimed ahead for each of these.

    A new endpoint starts low and a quick one soon has the most, so that receivers that hang hold few
    connections and few places of the process.
    """

    width: int = 4
    ahead: int = 1

    @property
    def places(self) -> int:
        return self.width * self.ahead

    def wants(self, held: int, total: int) -> int:
        """How many to claim when `held` are and the process has room for `total`.

        A claim costs much the same whatever it brings. So who can still send goes on from what it holds until a
        quarter of its places are free and the process has room for many; who runs out of it is served at once.
        """
        runs_out = held < self.width
        worth_it = 4 * held <= 3 * self.places and total >= _WORTH_A_CLAIM
        return max(0, self.places - held) if runs_out or worth_it else 0

    def after(self, reply: Reply) -> "Pace":
        """The pace after one more attempt."""
        if reply.timed_out:
            return Pace(max(1, self.width // 2), 1)
        if reply.duration_seconds > _QUICK_SECONDS:
            return Pace(self.width, 1)
        if self == _FASTEST:
            return self
        return Pace(min(MOST_AT_ONCE, self.width + 1), min(_MOST_AHEAD, self.ahead + 1))


_FASTEST = Pace(MOST_AT_ONCE, _MOST_AHEAD)

Lane = tuple[str, str]
"""The workspace and id of an endpoint: what one receiver does must not delay the others."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many deliveries may be claimed for a lane."""

    lane: Lane
    places: int


def rooms(
    due: Sequence[Lane], held: Mapping[Lane, int], paces: Mapping[Lane, Pace], total: int
) -> list[Room]:
    """Share `total` places among the lanes that have something due, evenly until each is full.

    `held` is what is claimed already. Give the lanes in an order
    that changes, since the first ones get what cannot be divided.
    """
    wanted = {lane: paces.get(lane, Pace()).wants(held.get(lane, 0), total) for lane in due}
    given: dict[Lane, int] = {}
    left = total
    hungry = [lane for lane in due if wanted[lane] > 0]
    while hungry and left > 0:
        share = max(1, left // len(hungry))
        for lane in hungry:
            more = min(share, wanted[lane] - given.get(lane, 0), left)
            given[lane] = given.get(lane, 0) + more
            left -= more
        hungry = [lane for lane in hungry if given[lane] < wanted[lane]]
    return [Room(lane, places) for lane, places in given.items() if places > 0]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a delivery stands."""

    state: str
    reason: str | None
    due_at: datetime


def after_attempt(
    standing: Standing, spent: int, reply: Reply, at: datetime, jitter: float
) -> Standing:
    """What an attempt that ended at `at` and did not deliver leads to, when it was the `spent`-th of the schedule.

    A delivery that was settled meanwhile stays so.
    """
    if standing.state != "pending":
        return standing
    if outcome(reply) == "gone":
        return Standing("failed", "gone", standing.due_at)
    due = next_attempt(spent, reply, at, jitter)
    if due is None:
        return Standing("failed", "exhausted", standing.due_at)
    return Standing("pending", reply.error or f"the receiver answered {reply.status}", due)
