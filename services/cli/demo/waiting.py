"""Looks until the system has come to rest; gives up only when nothing has moved for a while."""

import asyncio
import time
from collections.abc import Callable, Set
from dataclasses import dataclass

from services.cli.demo.api import Api
from services.cli.demo.definitions import METRIC
from services.cli.demo.laws import Decision
from services.cli.demo.reading import read_decisions, total
from services.cli.demo.receiving import Received
from services.cli.paths import SERVICES

_STALL_SECONDS = 20.0
_LOOK_SECONDS = 0.4
_EARLY_LIST_SECONDS = 5.0


class Patience:
    """Ends when the numbers that it is shown have not changed for `_STALL_SECONDS`."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()
        self._moved_at = time.monotonic()

    async def spent(self, *numbers: object) -> bool:
        """Whether to give up; pauses for a moment when not."""
        if numbers != self._last:
            self._last, self._moved_at = numbers, time.monotonic()
        if time.monotonic() - self._moved_at > _STALL_SECONDS:
            return True
        await asyncio.sleep(_LOOK_SECONDS)
        return False


@dataclass(frozen=True)
class Rest:
    """How much is under way between the services; `why` says where."""

    under_way: int
    why: str | None

    @property
    def quiet(self) -> bool:
        return self.under_way == 0 and self.why is None


async def at_rest(api: Api) -> Rest:
    """What waits in outboxes and in front of consumers, all services together."""
    waiting: dict[str, int] = {}
    for service in SERVICES:
        status = await api.get(f"/v1/operations/{service}/status")
        waiting[f"{service}'s outbox"] = int(status["database"].get("outbox", {}).get("waiting", 0))
        for topic, records in status["log"].get("lag", {}).items():
            waiting[f"{topic} in front of {service}"] = records
    places = [f"{n:,} in {place}" for place, n in waiting.items() if n]
    return Rest(sum(waiting.values()), "; ".join(places) or None)


async def until_decided(
    api: Api, events: Set[str], on_decided: Callable[[int], None]
) -> list[Decision]:
    """The decisions, once each of the events has one that is final, or as they are when nothing moves any more."""
    patience = Patience()
    listed_at = time.monotonic()
    while True:
        status = await api.get("/v1/operations/trigger/status")
        lag = int(status["log"].get("lag", {}).get("events", 0))
        on_decided(max(0, len(events) - lag))
        if lag == 0 or time.monotonic() - listed_at > _EARLY_LIST_SECONDS:
            decisions = await read_decisions(api)
            listed_at = time.monotonic()
            final = {d.event for d in decisions if d.outcome != "pending"}
            if events <= final or await patience.spent(lag, len(final)):
                on_decided(len(final))
                return decisions
        elif await patience.spent(lag):
            return await read_decisions(api)


async def until_settled(
    api: Api, answers: int, alerts: int, received: Received, on_settled: Callable[[int], None]
) -> str | None:
    """Wait until the scores count all answers and the alerts have arrived; else why it was given up."""
    patience = Patience()
    while True:
        scored = await total(api, METRIC)
        arrived = len(received.alerts)
        on_settled(min(scored, answers) + min(arrived, alerts))
        rest = await at_rest(api)
        pending = (await api.get("/v1/deliveries", state="pending", limit=1))["items"]
        if scored >= answers and arrived >= alerts and not pending and rest.quiet:
            return None
        if await patience.spent(scored, arrived, rest):
            return (
                rest.why
                or f"the scores count {scored:,} of {answers:,}, {arrived:,} of {alerts:,} alerts arrived"
            )
