"""The clients of the laboratory: shops that post purchases and customers that answer, writing down what they know."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e import scenario
from tests.e2e.system import Client, System
from tests.faults.ledger import Fate, Ledger
from tests.support import eventually

_SHOPS = 3
_PAUSE_SECONDS = 0.2
_TWICE, _SAME_ORDER, _BOUGHT_AGAIN, _WRONG = 0.2, 0.1, 0.1, 0.05
_GIVES_UP = 0.1
_BACKOFF_SECONDS = 0.2
_ANSWERS_AT_ONCE = 16


@dataclass
class Workload:
    """Everything that goes on in one workspace while faults are injected; `ledger` is the truth to check against."""

    system: System
    client: Client
    rng: random.Random
    doors: tuple[str, ...]
    shops: int = _SHOPS
    ledger: Ledger = field(default_factory=Ledger)
    _number: int = 0
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _awake: asyncio.Event = field(default_factory=asyncio.Event)
    _at_work: int = 0

    def __post_init__(self) -> None:
        self._awake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Workload"]:
        """Shops and customers at work; at the end what was begun is insisted on. Again after that, if asked."""
        self._stop.clear()
        tasks = [asyncio.create_task(self._shop()) for _ in range(self.shops)]
        tasks.append(asyncio.create_task(self._customers()))
        try:
            yield self
            self._stop.set()
            await asyncio.gather(*tasks)
        finally:
            # After a fault that went wrong there may be nobody to insist on anything to.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Shops and customers finish what they are at, and begin nothing new meanwhile."""

        async def idle() -> bool:
            return self._at_work == 0

        self._awake.clear()
        try:
            await eventually(idle, seconds=30, what="the end of what was begun")
            yield
        finally:
            self._awake.set()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        await self._awake.wait()
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    async def buy(self, customer: str | None = None) -> dict[str, Any]:
        """One purchase by this customer, or a new one; returned once it is accepted."""
        event = self._purchase(customer)
        await self._post(event, insist=True)
        return event

    async def probe(self, customer: str | None = None) -> None:
        """One purchase all the way to the answer, insisting at each step as real clients do."""
        event = await self.buy(customer)
        invitation: dict[str, Any] | None = None
        while invitation is None:
            found = await self._invitations(event=event["id"], wait="2s")
            invitation = found[0] if found else None
        await self._answer(invitation)
        while not await self._has_response(invitation["id"]):
            await asyncio.sleep(_BACKOFF_SECONDS)

    async def answer_all(self) -> None:
        """Answer what has not been answered for certain, and is still open."""
        turns = asyncio.Semaphore(_ANSWERS_AT_ONCE)

        async def one(invitation: dict[str, Any]) -> None:
            async with turns:
                await self._answer(invitation)

        open_ones = [
            invitation
            for invitation in await self.all_of("/v1/invitations")
            if invitation["state"] == "sent" and not self._has_answered(invitation["id"])
        ]
        await asyncio.gather(*map(one, open_ones))

    async def all_of(self, path: str) -> list[dict[str, Any]]:
        """Every row of a list, page by page, insisting."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            params = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
            answer = await self._insist("GET", path, params=params)
            page = answer.json()
            items += page["items"]
            cursor = page.get("next") or ""
            if not cursor:
                return items

    async def _shop(self) -> None:
        while not self._stop.is_set():
            async with self._turn():
                await self._purchases()
            await asyncio.sleep(_PAUSE_SECONDS * self.rng.random())

    async def _purchases(self) -> None:
        event = self._purchase()
        insist = self.rng.random() > _GIVES_UP
        await self._post(event, insist=insist)
        if self.rng.random() < _TWICE:
            await self._post(event, insist=insist)
        if self.rng.random() < _SAME_ORDER:
            again = self._purchase(event["subject"], event["data"]["order_no"])
            await self._post(again, insist=insist)
        if self.rng.random() < _BOUGHT_AGAIN:
            await self._post(self._purchase(event["subject"]), insist=insist)
        if self.rng.random() < _WRONG:
            await self._post(self._purchase() | {"specversion": "0.3"}, insist=False)

    async def _customers(self) -> None:
        while not self._stop.is_set():
            async with self._turn():
                for invitation in await self._invitations(state="sent", limit="20"):
                    if invitation["id"] not in self.ledger.answers and self.rng.random() < 0.5:
                        await self._answer(invitation, tries=3)
            await asyncio.sleep(_BACKOFF_SECONDS)

    def _purchase(self, customer: str | None = None, order: str | None = None) -> dict[str, Any]:
        self._number += 1
        made = scenario.purchase(self._number, customer or f"c-{self._number}")
        return made | {"data": made["data"] | {"order_no": order or f"o-{self._number}"}}

    async def _post(self, event: dict[str, Any], *, insist: bool) -> None:
        while True:
            url = self.rng.choice(self.doors) + "/v1/events"
            content_type = {"content-type": "application/cloudevents+json"}
            fate = await self._fate("POST", url, json=event, headers=content_type)
            self.ledger.posted(event["id"], event["subject"], event["data"]["order_no"], fate)
            if fate is Fate.OK or not insist or event["specversion"] != "1.0":
                return
            await asyncio.sleep(_BACKOFF_SECONDS)

    async def _answer(self, invitation: dict[str, Any], tries: int = 1_000) -> None:
        known = self.ledger.answers.get(invitation["id"])
        score = known.score if known else self.rng.randrange(11)
        form = {"recommend": str(score), "comment": "slow"}
        for _ in range(tries):
            fate = await self._fate("POST", invitation["link"], data=form)
            self.ledger.answered(invitation["id"], score, fate)
            if fate is Fate.OK:
                return
            await asyncio.sleep(_BACKOFF_SECONDS)

    def _has_answered(self, invitation: str) -> bool:
        answer = self.ledger.answers.get(invitation)
        return answer is not None and answer.fate is Fate.OK

    async def _invitations(self, **params: str) -> list[dict[str, Any]]:
        try:
            answer = await self.client.get("/v1/invitations", params=params)
        except httpx.TransportError:
            await asyncio.sleep(_BACKOFF_SECONDS)
            return []
        found: list[dict[str, Any]] = answer.json()["items"] if answer.status_code == 200 else []
        return found

    async def _has_response(self, invitation: str) -> bool:
        answer = await self._insist("GET", "/v1/responses", params={"invitation": invitation})
        return any(item["state"] == "submitted" for item in answer.json()["items"])

    async def _insist(self, method: str, url: str, **request: Any) -> httpx.Response:
        while True:
            try:
                answer = await self.client.request(method, url, **request)
            except httpx.TransportError:
                await asyncio.sleep(_BACKOFF_SECONDS)
                continue
            if answer.status_code < 500:
                return answer
            await asyncio.sleep(_BACKOFF_SECONDS)

    async def _fate(self, method: str, url: str, **request: Any) -> Fate:
        try:
            answer = await self.client.request(method, url, **request)
        except httpx.ConnectError:
            return Fate.FAILED
        except httpx.TransportError:
            return Fate.UNKNOWN
        self.ledger.statuses[answer.status_code] += 1
        if answer.is_success or answer.status_code == 303:
            return Fate.OK
        return Fate.UNKNOWN if answer.status_code >= 500 else Fate.FAILED
