"""Delivers: claim what is due, POST it outside any transaction, record the attempts in bulk."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic

from services.alerting.queues import Leased, Queue, Queues
from services.alerting.recording import Turn, once, record_arrived, record_others
from services.alerting.rules.sending import Lane, Room, rooms
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
_CLAIM_AT_ONCE = 300
_HELD_AT_ONCE = 800  # bodies are held in memory
_RECORD_AT_ONCE = 300
_GATHER_SECONDS = (
    0.02  # with 0.05 a single endpoint got a third less: its places wait to be recorded
)
_SPARE_SECONDS = 5.0
_START_AT_ONCE = 8


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
        self._queues = Queues()
        self._sending = 0
        self._arrived: list[Turn] = []
        self._others: list[Turn] = []
        self._startable = asyncio.Event()
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
            starting = group.create_task(self._start(group))
            await run_steps(
                "alerting",
                "dispatch",
                self._claim,
                signal=due,
                stop=stop,
                poll_seconds=_POLL_SECONDS,
            )
            waiting = self._queues.give_back()
            self._others += [Turn(leased.claimed, leased.at) for leased in waiting]
            while self._sending:
                await self._ended.wait(self._ended.count, 1.0)
            starting.cancel()
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

    async def _claim(self) -> int:
        """Lease what is due and there is room for, and let it be sent; 0 when a look at once would find no more."""
        self._room_is_short = True  # until it is known: room that is made meanwhile is told of
        held = self._queues.held()
        total = min(_CLAIM_AT_ONCE, _HELD_AT_ONCE - sum(held.values()))
        if total <= 0:
            return 0
        since = monotonic()
        async with self._database.read() as tx:
            at, due = await store.lanes_due(tx)
        self._claims += 1
        first = self._claims % len(due) if due else 0
        places = rooms([*due[first:], *due[:first]], held, self._queues.paces(), total)
        claimed: list[Claimed] = []
        if places:
            lease = self._settings.delivery_lease_seconds
            async with self._database.begin() as tx:
                claimed = await store.claim(tx, places, at, lease_seconds=lease)
            crash.point(crash.Point.DISPATCH_AFTER_CLAIM)
        for one in claimed:
            self._queues.add(Leased(one, at, since))
        self._startable.set()
        self._room_is_short = _more_is_due(due, places, claimed)
        return len(claimed) if self._room_is_short else 0

    async def _start(self, group: asyncio.TaskGroup) -> None:
        """Start what may be sent, for ever, and only a few in each turn of the event loop.

        Quick receivers answer together what was started together. Each statement of a claim would then wait for a
        turn that handles all of it, and all that is held would be sent before the next is claimed.
        """
        while True:
            await self._startable.wait()
            self._startable.clear()
            started = 0
            while self._sending < self._settings.deliveries_in_flight:
                if (taken := self._queues.take()) is None:
                    break
                self._sending += 1
                group.create_task(self._send(*taken))
                started += 1
                if started % _START_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _send(self, queue: Queue, leased: Leased) -> None:
        waited = monotonic() - leased.since
        at = leased.at + timedelta(seconds=waited)
        reply: Reply | None = None
        try:
            if self._in_time(waited):
                reply = await self._post(leased.claimed, at)
                crash.point(crash.Point.DISPATCH_AFTER_SEND)
        finally:
            self._sending -= 1
            self._queues.ended(queue, reply)
        turn = Turn(leased.claimed, at, reply, outcome(reply) if reply else None)
        (self._arrived if turn.outcome == "delivered" else self._others).append(turn)
        self._ended.notify()
        self._startable.set()

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
