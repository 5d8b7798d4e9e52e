"""What is claimed and waits to be sent: a queue for each endpoint, and the endpoints in turn."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from services.alerting.rules.sending import Lane, Pace
from services.alerting.store.claims import Claimed
from shared.webhook import Reply


class Leased(NamedTuple):
    """A claimed delivery, when it was claimed by the database's clock, and by ours, which measures the wait."""

    claimed: Claimed
    at: datetime
    since: float


@dataclass(slots=True)
class Queue:
    """What is claimed for one endpoint: its pace, how many attempts are under way, and what waits."""

    lane: Lane
    pace: Pace = field(default_factory=Pace)
    sending: int = 0
    waiting: deque[Leased] = field(default_factory=deque)
    listed: bool = False

    @property
    def held(self) -> int:
        return self.sending + len(self.waiting)


class Queues:
    """All of one process. What is taken of a queue counts as being sent until it has ended."""

    def __init__(self) -> None:
        self._by_lane: dict[Lane, Queue] = {}
        self._ready: deque[Queue] = deque()

    def held(self) -> dict[Lane, int]:
        """How many deliveries each endpoint has here, waiting or being sent."""
        return {lane: queue.held for lane, queue in self._by_lane.items()}

    def paces(self) -> dict[Lane, Pace]:
        """How each endpoint is sent to."""
        return {lane: queue.pace for lane, queue in self._by_lane.items()}

    def add(self, leased: Leased) -> None:
        """Let one more wait for its turn."""
        lane = leased.claimed.lane
        queue = self._by_lane.setdefault(lane, Queue(lane))
        queue.waiting.append(leased)
        self._enlist(queue)

    def take(self) -> tuple[Queue, Leased] | None:
        """The next to send, of each endpoint in turn that may be sent one more; None when none may."""
        while self._ready:
            queue = self._ready.popleft()
            queue.listed = False
            if queue.waiting:
                queue.sending += 1
                leased = queue.waiting.popleft()
                self._enlist(queue)
                return queue, leased
        return None

    def ended(self, queue: Queue, reply: Reply | None) -> None:
        """One that was taken is no longer being sent; without a reply it never was."""
        queue.sending -= 1
        if reply is not None:
            queue.pace = queue.pace.after(reply)
        self._enlist(queue)

    def give_back(self) -> Iterator[Leased]:
        """Take out all that waits."""
        for queue in self._by_lane.values():
            while queue.waiting:
                yield queue.waiting.popleft()

    def _enlist(self, queue: Queue) -> None:
        if queue.waiting and queue.sending < queue.pace.width and not queue.listed:
            queue.listed = True
            self._ready.append(queue)
