"""Delivers: claim what is due, POST it outside any transaction, record the attempts in bulk."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from services.alerting.rules.sending import Lane, Pace, Standing, after_attempt, rooms
from services.alerting.settings import Settings
from services.alerting.store import claims as store
from services.alerting.store.claims import Claimed
from services.alerting.store.deliveries import SIGNAL
from services.alerting.store.endpoints import pause_gone
from shared import crash
from shared.db import Database, Tx, now
from shared.due import run_steps
from shared.errors import StartupError, Unavailable
from shared.signals import Signal
from shared.telemetry import DELIVERY_ATTEMPTS, DELIVERY_SECONDS, log
from shared.webhook import Reply, SecretError, outcome, sign
from shared.webhook.client import WebhookClient

_POLL_SECONDS = 0.5
_CLAIM_AT_ONCE = 200
_HELD_AT_ONCE = 400  # bodies are held in memory
_RECORD_AT_ONCE = 200
_GATHER_SECONDS = 0.02
_SPARE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Leased:
    """A claimed delivery, when it was claimed by the database's clock, and by ours, which measures the wait."""

    claimed: Claimed
    at: datetime
    since: float


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of a claimed delivery; without a reply it was not sent and is given back."""

    claimed: Claimed
    at: datetime
    reply: Reply | None


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
        self._turns: list[Turn] = []
        self._ended = Signal()
        self._claims = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until stopped; then give back what waits, finish what is under way, and record it."""
        due = self._database.signal(SIGNAL)
        drained = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_steps(
                    "record", self._record, signal=self._ended, stop=drained, poll_seconds=1.0
                )
            )
            await run_steps(
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
            log.warning("attempts_unrecorded", attempts=len(self._turns), reason=str(error))

    async def _claim(self, group: asyncio.TaskGroup) -> int:
        """Lease what is due and there is room for, and start sending it; how many that were."""
        held = {lane: queue.held for lane, queue in self._queues.items()}
        total = min(_CLAIM_AT_ONCE, _HELD_AT_ONCE - sum(held.values()))
        if total <= 0:
            return 0
        since = monotonic()
        async with self._database.read() as tx:
            due = await store.lanes_due(tx)
        self._claims += 1
        first = self._claims % len(due) if due else 0
        paces = {lane: queue.pace for lane, queue in self._queues.items()}
        places = rooms([*due[first:], *due[:first]], held, paces, total)
        if not places:
            return 0
        async with self._database.begin() as tx:
            at, claimed = await store.claim(
                tx, places, lease_seconds=self._settings.delivery_lease_seconds
            )
        crash.point(crash.Point.DISPATCH_AFTER_CLAIM)
        for one in claimed:
            queue = self._queues.setdefault(one.lane, Queue(one.lane))
            queue.waiting.append(Leased(one, at, since))
            self._enlist(queue)
        self._start(group)
        return len(claimed)

    def _enlist(self, queue: Queue) -> None:
        if queue.waiting and queue.sending < queue.pace.width and not queue.listed:
            queue.listed = True
            self._ready.append(queue)

    def _start(self, group: asyncio.TaskGroup) -> None:
        """Send one of each queue in turn, as long as there is room in the process."""
        while self._ready and self._sending < self._settings.deliveries_in_flight:
            queue = self._ready.popleft()
            queue.listed = False
            if not queue.waiting:
                continue
            queue.sending += 1
            self._sending += 1
            group.create_task(self._send(group, queue, queue.waiting.popleft()))
            self._enlist(queue)

    async def _send(self, group: asyncio.TaskGroup, queue: Queue, leased: Leased) -> None:
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
            self._sending -= 1
        self._turns.append(Turn(leased.claimed, at, reply))
        self._ended.notify()
        self._enlist(queue)
        self._start(group)

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
        return await self._client.post(
            claimed.target.url,
            headers,
            claimed.body,
            timeout_seconds=self._settings.delivery_timeout_seconds,
        )

    def _give_back(self) -> None:
        for queue in self._queues.values():
            self._turns += [Turn(leased.claimed, leased.at, None) for leased in queue.waiting]
            queue.waiting.clear()

    async def _record(self) -> int:
        """Write down what came of the turns, in one transaction; how many they were."""
        if not self._turns:
            return 0
        if len(self._turns) < _RECORD_AT_ONCE:
            await asyncio.sleep(_GATHER_SECONDS)
        turns = self._turns[:_RECORD_AT_ONCE]
        async with self._database.begin() as tx:
            await record(tx, turns, self._jitter)
        del self._turns[: len(turns)]
        self._database.signal(SIGNAL).notify()
        for turn in turns:
            if turn.reply is not None:
                DELIVERY_ATTEMPTS.labels("alerting", outcome(turn.reply)).inc()
                DELIVERY_SECONDS.labels("alerting").observe(turn.reply.duration_seconds)
        return len(turns)


async def record(tx: Tx, turns: Sequence[Turn], jitter: Callable[[], float]) -> None:
    """Write each attempt and what it leads to; an endpoint that answered 410 is paused.

    Endpoints are locked before deliveries, as when a definition is deleted.
    """
    at = await now(tx)
    gone = {
        (t.claimed.workspace, t.claimed.target.id, t.claimed.target.revision)
        for t in turns
        if t.reply is not None and outcome(t.reply) == "gone"
    }
    if gone:
        await pause_gone(tx, gone, at)
    locked = await store.lock_deliveries(tx, [(t.claimed.workspace, t.claimed.id) for t in turns])
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (row.workspace, row.id): dict(row._mapping) for row in locked
    }
    made: list[dict[str, Any]] = []
    for turn in turns:
        row = rows[(turn.claimed.workspace, turn.claimed.id)]
        row["leased_until"] = None
        if turn.reply is None:
            continue
        row["attempts"] += 1
        row["spent"] += 1
        standing = Standing(row["state"], row["reason"], row["due_at"])
        after = after_attempt(standing, row["spent"], turn.reply, at, jitter())
        row |= {
            "state": after.state,
            "reason": after.reason,
            "due_at": after.due_at,
            "changed_at": at,
        }
        made.append(_attempt(turn, turn.reply, row["attempts"]))
    await store.save_attempts(tx, list(rows.values()), made)


def _attempt(turn: Turn, reply: Reply, number: int) -> dict[str, Any]:
    return {
        "workspace": turn.claimed.workspace,
        "delivery": turn.claimed.id,
        "number": number,
        "at": turn.at,
        "outcome": outcome(reply),
        "status": reply.status,
        "error": reply.error,
        "body": reply.body,
        "duration_ms": round(reply.duration_seconds * 1_000),
    }
