"""Histograms under duplicates, reordering and crashes: a response counts as its last revision says, once."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.scoring.metrics import FIXED_SCALES
from services.scoring.rules import Cell, Fact, cells_of, changes, fact_of, newest
from shared.contracts.messages import ResponseChanged
from tests.unit.scoring.responses import chose, deleted, nps, paths, response

ROLLUP: dict[str, str | None] = {"store": None}
IDS = st.sampled_from(["r1", "r2", "r3"])


class Counting(RuleBasedStateMachine):
    """Ingest says, the log repeats and reorders, scoring counts, and a batch may be rolled back and come again."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[ResponseChanged] = []
        self.said: dict[str, int] = {}
        self.facts: dict[tuple[str, str], Fact] = {}
        self.cells: Counter[tuple[str, Cell]] = Counter()

    @rule(id=IDS, score=st.integers(0, 10), store=st.sampled_from(["cn/a", "cn/b"]))
    def answer(self, id: str, score: int, store: str) -> None:
        answers = (nps(score), chose("price", "staff"))
        revision = self._next(id)
        self.log.append(response(id, *answers, revision=revision, dimensions=paths(store=store)))

    @rule(id=IDS)
    def delete(self, id: str) -> None:
        self.log.append(deleted(id, self._next(id)))

    @precondition(lambda self: self.log)
    @rule(data=st.data(), crash=st.booleans())
    def deliver(self, data: st.DataObject, crash: bool) -> None:
        """Any records of the log, in any order, again and again; after a crash nothing of it has happened."""
        batch = data.draw(st.lists(st.sampled_from(self.log), min_size=1, max_size=6))
        facts, cells = dict(self.facts), Counter(self.cells)
        self._handle(batch)
        if crash:
            self.facts, self.cells = facts, cells

    @rule()
    def replay(self) -> None:
        """The group's offsets are lost: everything comes again, and then all of it is counted."""
        self._handle(self.log)
        assert {fact.response: fact.revision for fact in self.facts.values()} == self.said

    @invariant()
    def counts_what_the_facts_say(self) -> None:
        right = Counter(
            (fact.workspace, cell)
            for fact in self.facts.values()
            for cell in cells_of(fact, ROLLUP)
        )
        assert {key: n for key, n in self.cells.items() if n} == right

    def _next(self, id: str) -> int:
        self.said[id] = self.said.get(id, 0) + 1
        return self.said[id]

    def _handle(self, batch: list[ResponseChanged]) -> None:
        """As the worker does it in one transaction: the newest of the batch, of these what is newer than what stands."""
        stated = newest(fact_of("acme", one, ROLLUP, FIXED_SCALES) for one in batch)
        new = [
            fact
            for fact in stated
            if fact.key not in self.facts or fact.revision > self.facts[fact.key].revision
        ]
        old = [self.facts[fact.key] for fact in new if fact.key in self.facts]
        self.facts |= {fact.key: fact for fact in new}
        for key, change in changes(old, new, {"acme": ROLLUP}).items():
            self.cells[key] += change
            assert self.cells[key] >= 0


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
