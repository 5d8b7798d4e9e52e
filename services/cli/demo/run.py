"""One demo from the first purchase to the last webhook: the stages in the order in which they happen."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.progress import Progress

from services.cli.context import Context
from services.cli.demo.api import Api, open_api
from services.cli.demo.definitions import POLICY_DAYS, UNHAPPY
from services.cli.demo.laws import Invitation, Law, Seen, Sent, judge
from services.cli.demo.model import Customers, Reply
from services.cli.demo.reading import (
    MONTH,
    REGION,
    Score,
    read_invitations,
    read_scores,
    read_seen,
)
from services.cli.demo.receiving import Received
from services.cli.demo.schedule import Schedule, schedule
from services.cli.demo.sending import check_empty, define, send
from services.cli.demo.visiting import Visits, visit_all
from services.cli.demo.waiting import until_decided, until_settled
from services.cli.demo.world import Sale


@dataclass(frozen=True)
class Plan:
    """What is going to be sent, and by which model it will be answered."""

    sales: dict[str, Sale]
    schedule: Schedule
    customers: Customers
    seed: int

    @classmethod
    def of(cls, sales: list[Sale], seed: int) -> "Plan":
        return cls({sale.id: sale for sale in sales}, schedule(sales, seed), Customers(seed), seed)

    def reply(self, invitation: Invitation) -> Reply:
        return self.customers.reply(self.sales[invitation.event])


@dataclass(frozen=True)
class Result:
    """All that the report tells."""

    plan: Plan
    sent: Sent
    seen: Seen
    laws: list[Law]
    visits: Visits
    scores: dict[str, list[Score]]
    seconds: dict[str, float]
    given_up: str | None

    @property
    def held(self) -> bool:
        return all(law.held for law in self.laws)


@dataclass
class _Stages:
    """The progress bars, and how long each stage took."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator["_Bar"]:
        started = time.monotonic()
        bar = _Bar(self.progress, self.progress.add_task(name, total=total))
        yield bar
        self.seconds[name] = time.monotonic() - started


@dataclass(frozen=True)
class _Bar:
    progress: Progress
    task: int

    def add(self, n: int = 1) -> None:
        self.progress.advance(self.task, n)  # type: ignore[arg-type]  # rich's TaskID is an int

    def at(self, n: int) -> None:
        self.progress.update(self.task, completed=n)  # type: ignore[arg-type]  # the same


async def run_demo(
    context: Context, plan: Plan, received: Received, receiver_url: str, progress: Progress
) -> Result:
    """Send, wait, answer, wait, read and judge. Raises `AfterwordError` when the system is gone or refuses."""
    stages = _Stages(progress)
    async with open_api(context) as api:
        await check_empty(api)
        received.secrets.append(await define(api, receiver_url))
        events = frozenset(plan.sales)
        with stages.stage("sending", len(plan.schedule.sales)) as bar:
            await send(api, plan.schedule, bar.add)
        with stages.stage("deciding", len(events)) as bar:
            decisions = await until_decided(api, events, bar.at)
        invitations = await read_invitations(api)
        visits = await _answer(api, plan, invitations, stages)
        alerts = sum(reply.score <= UNHAPPY for reply in visits.accepted.values())
        with stages.stage("counting and alerting", len(visits.accepted) + alerts) as bar:
            given_up = await until_settled(api, len(visits.accepted), alerts, received, bar.at)
        seen = await read_seen(api, decisions, invitations, received)
        scores = {
            "month": await read_scores(api, MONTH),
            "region": await read_scores(api, REGION),
            "month and region": await read_scores(api, MONTH, REGION),
        }
    policy = timedelta(days=POLICY_DAYS)
    sent = Sent(events, plan.schedule.twice, frozenset(visits.accepted), alerts, policy)
    return Result(plan, sent, seen, judge(sent, seen), visits, scores, stages.seconds, given_up)


async def _answer(api: Api, plan: Plan, invitations: list[Invitation], stages: _Stages) -> Visits:
    willing = [(i, reply) for i in invitations if (reply := plan.reply(i)).answers]
    with stages.stage("answering", len(willing)) as bar:
        return await visit_all(api, willing, bar.add)


async def ended(stop: asyncio.Event, work: "asyncio.Task[Result]") -> Result | None:
    """The result, or None when `stop` came first; the work is over either way."""
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
        return await work if work.done() else None
    finally:
        for task in (stopped, work):
            task.cancel()
        await asyncio.gather(stopped, work, return_exceptions=True)
