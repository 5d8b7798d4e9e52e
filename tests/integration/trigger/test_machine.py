"""Whatever happens in whatever order, replayed or not, the laws of asking hold after each step."""

import asyncio
import json
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.auth import Access
from tests.integration.trigger.conftest import Bench, open_bench
from tests.support import write_access

CUSTOMERS = st.sampled_from(["ann", "bob"])
ORDERS = st.integers(1, 4)
ENDED = {"answered", "stopped"}


class Asking(RuleBasedStateMachine):
    """Events, cancellations, stops, pauses, releases, answers and expiry, on one replica with two triggers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.directory = tempfile.TemporaryDirectory()
        self.sent: list[Any] = []
        self.ended: dict[str, str] = {}
        self.expected: set[str] = set()
        path = Path(self.directory.name)
        write_access(path / "access.yaml")
        access = Access.load(path / "access.yaml")
        opened = open_bench(f"sqlite:///{path}", access, migrated=False)
        self.bench: Bench = self.run(self.stack.enter_async_context(opened))

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.loop.close()
        self.directory.cleanup()

    @initialize()
    def define(self) -> None:
        self.run(self.bench.set_fresh())
        self.run(self.bench.survey())
        self.pause("slow", False)
        self.pause("fast", False)

    @rule(name=st.sampled_from(["slow", "fast"]), paused=st.booleans())
    def pause(self, name: str, paused: bool) -> None:
        fields: dict[str, Any] = {
            "transaction": "data.order",
            "cancel_on": ["returned"],
            "delay": "1h" if name == "slow" else "0s",
        }
        self.run(self.bench.trigger(name, **fields, state="paused" if paused else "active"))
        self.run(self.bench.releases.unhold())

    @rule(
        kinds=st.lists(
            st.tuples(st.sampled_from(["paid", "returned", "viewed"]), CUSTOMERS, ORDERS),
            max_size=4,
        )
    )
    def happen(self, kinds: list[tuple[str, str, int]]) -> None:
        batch = [
            self.bench.event(f"e{len(self.sent) + i}", customer, type=type, data={"order": order})
            for i, (type, customer, order) in enumerate(kinds)
        ]
        self.sent += batch
        self.expected |= {received.message.id for received in batch}
        if batch:
            self.run(self.bench.handlers.events(batch))

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        if self.sent:
            batch = data.draw(
                st.lists(st.sampled_from(range(len(self.sent))), min_size=1, max_size=6)
            )
            self.run(self.bench.handlers.events([self.sent[i] for i in batch]))

    @rule()
    def release(self) -> None:
        self.run(self.bench.release())

    @rule(customer=CUSTOMERS, asks=st.booleans())
    def consent(self, customer: str, asks: bool) -> None:
        self.run(
            self.bench.handlers.customers(
                [self.bench.customer(customer, consent={"surveys": asks})]
            )
        )

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        rows = self.run(self.bench.rows("invitations", "id"))
        if rows:
            row = data.draw(st.sampled_from([row.id for row in rows]))
            self.run(self.bench.handlers.responses([self.bench.response(row)]))

    @invariant()
    def laws(self) -> None:
        decisions = self.run(self.bench.rows("decisions", "id"))
        alone = {row.event for row in self.run(self.bench.rows("seen")) if row.outcome}
        assert {row.event for row in decisions} | alone == self.expected, (
            "every event has a decision"
        )
        assert not {row.event for row in decisions} & alone
        assert all(row.reason for row in decisions if row.outcome != "invited"), (
            "every decision says why"
        )
        invitations = self.run(self.bench.rows("invitations", "id"))
        assert {row.id for row in invitations} == {
            row.id for row in decisions if row.outcome == "invited"
        }
        alive = Counter(
            (row.trigger, row.transaction_key)
            for row in decisions
            if row.outcome in ("invited", "pending")
        )
        assert all(count == 1 for count in alive.values()), "one transaction, one invitation"
        holds = {(row.trigger, row.transaction_key) for row in self.run(self.bench.rows("holds"))}
        assert holds == set(alive)
        asked = Counter(row.customer for row in invitations)
        assert all(count == 1 for count in asked.values()), "the contact policy holds"

    @invariant()
    def states(self) -> None:
        rows = self.run(self.bench.rows("invitations", "id"))
        for row in rows:
            assert self.ended.get(row.id, row.state) == row.state, "what has ended stays ended"
            if row.state in ENDED:
                self.ended[row.id] = row.state
        told: dict[str, list[int]] = {}
        for row in self.run(self.bench.rows("outbox", "id")):
            if row.topic == "invitations":
                message = json.loads(row.value)["data"]
                told.setdefault(message["id"], []).append(message["revision"])
        assert told == {row.id: list(range(1, row.revision + 1)) for row in rows}, (
            "each change is told once, in order"
        )


TestAsking = Asking.TestCase
TestAsking.settings = settings(
    max_examples=12,
    stateful_step_count=20,
)
