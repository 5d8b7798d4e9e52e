"""Delivers: claim what is due, POST it outside any transaction, record the attempts in bulk."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import NamedTuple

from services.alerting.recording import Turn, once, record_arrived, record_others
from services.alerting.rules.sending import Lane, Pace, Room, rooms
from services.alerting.settings import Settings
from services.alerting.store import claims as store
from services.alerting.store.claims import Claimed
from services.alerting.store.deliveries import SIGNAL
from shared import crash
from shared.db import Database, Tx
from shared.due import run_steps
from shared.errors import StartupError, Unavailable
from shared.instruments import DELIVERY_ATTEMPTS, DELIVERY_SECONDS
from shared.signals import Signal
from shared.telemetry import log
from shared.tracing.requests import calling, carried_by, replied
from shared.webhook import Reply, SecretError, outcome, sign
from shared.webhook.client import WebhookClient

_POLL_SECONDS = 0.5
_CLAIM_AT_ONCE = 200
_HELD_AT_ONCE = 400  # bodies are held in memory
_RECORD_AT_ONCE = 200
_GATHER_SECONDS = (
    0.02  # with 0.05 a single endpoint got a third less: its places wait to be recorded
)
_SPARE_SECONDS = 5.0


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


class Dispatcher:
    """One process's share of the sending; any number of them work on the same deliveries."""

    def __init__(
        self,
        database: Database,
        client: WebhookClient,
        settings: Settings,
        jitter: Callable[[], float],
    ) -> None:
        """Raises `StartupError` for a lease that does not outlast the attempts it is for."""
        if settings.delivery_lease_seconds < 2 * settings.delivery_timeout_seconds + _SPARE_SECONDS:
            raise StartupError(
                "AFTERWORD_DELIVERY_LEASE_SECONDS must be at least twice AFTERWORD_DELIVERY_TIMEOUT_SECONDS"
                f" and {_SPARE_SECONDS:g} s more, or a delivery under way would be claimed again"
            )
        self._database = database
        self._client = client
        self._settings = settings
        self._jitter = jitter
        self._queues: dict[Lane, Queue] = {}
        self._ready: deque[Queue] = deque()
        self._sending = 0
        self._arrived: list[Turn] = []
        self._others: list[Turn] = []
        self._ended = Signal()
        self._claims = 0
        self._room_is_short = False

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until stopped; then give back what waits, finish what is under way, and record it."""
        due = self._database.signal(SIGNAL)
        drained = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_steps(
                    "alerting",
                    "record",
                    self._record,
                    signal=self._ended,
                    stop=drained,
                    poll_seconds=1.0,
                )
            )
            await run_steps(
                "alerting",
                "dispatch",
                lambda: self._claim(group),
                signal=due,
                stop=stop,
                poll_seconds=_POLL_SECONDS,
            )
            self._give_back()
            while self._sending:
                await self._ended.wait(self._ended.count, 1.0)
            drained.set()
            self._ended.notify()
        try:
            while await self._record():
                pass
        except Unavailable as error:
            log.warning(
                "attempts_unrecorded",
                attempts=len(self._arrived) + len(self._others),
                reason=str(error),
            )

    async def _claim(self, group: asyncio.TaskGroup) -> int:
        """Lease what is due and there is room for, and start sending it; 0 when a look at once would find no more."""
        self._room_is_short = True  # until it is known: room that is made meanwhile is told of
        held = {lane: queue.held for lane, queue in self._queues.items()}
        total = min(_CLAIM_AT_ONCE, _HELD_AT_ONCE - sum(held.values()))
        if total <= 0:
            return 0
        since = monotonic()
        async with self._database.read() as tx:
            at, due = await store.lanes_due(tx)
        self._claims += 1
        first = self._claims % len(due) if due else 0
        paces = {lane: queue.pace for lane, queue in self._queues.items()}
        places = rooms([*due[first:], *due[:first]], held, paces, total)
        claimed: list[Claimed] = []
        if places:
            lease = self._settings.delivery_lease_seconds
            async with self._database.begin() as tx:
                claimed = await store.claim(tx, places, at, lease_seconds=lease)
            crash.point(crash.Point.DISPATCH_AFTER_CLAIM)
        for one in claimed:
            queue = self._queues.setdefault(one.lane, Queue(one.lane))
            queue.waiting.append(Leased(one, at, since))
            self._enlist(queue)
        self._start(group)
        self._room_is_short = _more_is_due(due, places, claimed)
        return len(claimed) if self._room_is_short else 0

    def _enlist(self, queue: Queue) -> None:
        if queue.waiting and queue.sending < queue.pace.width and not queue.listed:
            queue.listed = True
            self._ready.append(queue)

    def _start(self, group: asyncio.TaskGroup) -> None:
        """Start senders as long as there is something to send and room in the process."""
        while self._sending < self._settings.deliveries_in_flight and (taken := self._take()):
            self._sending += 1
            group.create_task(self._send_on(group, *taken))

    async def _send_on(self, group: asyncio.TaskGroup, queue: Queue, leased: Leased) -> None:
        """Send one of each queue in turn until none may be sent."""
        taken: tuple[Queue, Leased] | None = (queue, leased)
        try:
            while taken is not None:
                await self._send(*taken)
                taken = self._take()
                self._start(group)
        finally:
            self._sending -= 1

    def _take(self) -> tuple[Queue, Leased] | None:
        """The next delivery to send, with its queue, which counts it as being sent."""
        while self._ready:
            queue = self._ready.popleft()
            queue.listed = False
            if queue.waiting:
                queue.sending += 1
                leased = queue.waiting.popleft()
                self._enlist(queue)
                return queue, leased
        return None

    async def _send(self, queue: Queue, leased: Leased) -> None:
        waited = monotonic() - leased.since
        at = leased.at + timedelta(seconds=waited)
        reply: Reply | None = None
        try:
            if self._in_time(waited):
                reply = await self._post(leased.claimed, at)
                crash.point(crash.Point.DISPATCH_AFTER_SEND)
                queue.pace = queue.pace.after(reply)
        finally:
            queue.sending -= 1
        turn = Turn(leased.claimed, at, reply, outcome(reply) if reply else None)
        (self._arrived if turn.outcome == "delivered" else self._others).append(turn)
        self._ended.notify()
        self._enlist(queue)

    def _in_time(self, waited: float) -> bool:
        """Whether the lease outlasts an attempt that starts now."""
        settings = self._settings
        return (
            waited + settings.delivery_timeout_seconds + _SPARE_SECONDS
            <= settings.delivery_lease_seconds
        )

    async def _post(self, claimed: Claimed, at: datetime) -> Reply:
        try:
            headers = sign(claimed.secrets, claimed.message, int(at.timestamp()), claimed.body)
        except SecretError as error:
            return Reply(None, str(error), "", None, 0.0)
        url = claimed.target.url
        with calling("alerting", url, claimed.traceparent, before=claimed.attempts) as span:
            reply = await self._client.post(
                url,
                headers | carried_by(span),
                claimed.body,
                timeout_seconds=self._settings.delivery_timeout_seconds,
            )
            replied(span, reply)
        return reply

    def _give_back(self) -> None:
        for queue in self._queues.values():
            self._others += [Turn(leased.claimed, leased.at) for leased in queue.waiting]
            queue.waiting.clear()

    async def _record(self) -> int:
        """Write down what came of the turns; how many they were."""
        ended = len(self._arrived) + len(self._others)
        if not ended:
            return 0
        if ended < _RECORD_AT_ONCE:
            await asyncio.sleep(_GATHER_SECONDS)
        recorded = await self._save(self._arrived, record_arrived)
        recorded += await self._save(
            self._others, lambda tx, turns: record_others(tx, turns, self._jitter)
        )
        if self._room_is_short:
            self._database.signal(SIGNAL).notify()
        return recorded

    async def _save(
        self, turns: list[Turn], write: Callable[[Tx, Sequence[Turn]], Awaitable[None]]
    ) -> int:
        """Take the next turns off the list once they are written, in one transaction."""
        some = once(turns[:_RECORD_AT_ONCE])
        if some:
            async with self._database.begin() as tx:
                await write(tx, some)
            del turns[: len(some)]
            _count(some)
        return len(some)


def _more_is_due(due: Sequence[Lane], places: Sequence[Room], claimed: Sequence[Claimed]) -> bool:
    """Whether a lane got all that there was room for, so that more of its deliveries may be due."""
    given = {room.lane: room.places for room in places}
    taken = Counter(one.lane for one in claimed)
    return any(taken[lane] >= given.get(lane, 0) for lane in due)


def _count(turns: Sequence[Turn]) -> None:
    for name, attempts in Counter(turn.outcome for turn in turns if turn.outcome).items():
        DELIVERY_ATTEMPTS.labels("alerting", name).inc(attempts)
    seconds = DELIVERY_SECONDS.labels("alerting")
    for turn in turns:
        if turn.reply is not None:
            seconds.observe(turn.reply.duration_seconds)
