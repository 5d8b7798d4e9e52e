"""What a response counts as: facts out of messages, cells out of facts, and the change from one state to the next."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

import msgspec

from shared.conditions import read
from shared.contracts.messages import ResponseChanged
from shared.contracts.values import Answer, CustomerSnapshot, QuestionKind, customer_facts
from shared.errors import AfterwordError

Rollup = Mapping[str, str | None]
"""The dimensions that cells keep apart: name -> path to derive it by, None for one that responses bring."""

Scales = Mapping[str, tuple[int, int]]
RESPONDENT = ""
"""The value that a choice question counts once for each who chose, however many options they ticked."""

_SCALE = re.compile(r"(-?\d{1,4})-(-?\d{1,4})")


class NotCountable(AfterwordError):
    """An answer that does not fit its own scale: clipping it would hide a fault upstream."""


class CountBroken(AfterwordError):
    """A cell would count less than nothing: the cells do not agree with the facts; `rebuild` mends them."""


class Counted(NamedTuple):
    """One thing that an answer adds to its histogram."""

    question: str
    value: str
    metric: str
    kind: str
    scale: str


class Cell(NamedTuple):
    """All that a count is keyed by within a workspace; different scales and kinds are never one cell."""

    metric: str
    survey: str
    question: str
    kind: str
    scale: str
    journey: str
    touchpoint: str
    day: date
    dimensions: tuple[tuple[str, str], ...]
    value: str

    @property
    def id(self) -> str:
        """A digest of the key, the same in every process."""
        return hashlib.blake2b(_encode(tuple(self)), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Fact:
    """A response as it stands in the tables; a deleted one has only its revision left."""

    workspace: str
    response: str
    revision: int
    state: str
    day: date
    survey: str
    journey: str = ""
    touchpoint: str = ""
    customer: str | None = None
    dimensions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    derived: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    transaction_was: Mapping[str, Any] | None = None
    customer_was: Mapping[str, Any] | None = None
    counted: tuple[Counted, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.workspace, self.response


_encode = msgspec.json.Encoder().encode


def newest(facts: Iterable[Fact]) -> list[Fact]:
    """One fact per response, the highest revision seen, in key order."""
    latest: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        known = latest.get(fact.key)
        if known is None or fact.revision > known.revision:
            latest[fact.key] = fact
    return [latest[key] for key in sorted(latest)]


def fact_of(workspace: str, message: ResponseChanged, rollup: Rollup, scales: Scales) -> Fact:
    """The fact that a message states. Raises `NotCountable` for an answer off its scale."""
    if message.state == "deleted":
        return Fact(workspace, message.id, message.revision, "deleted", message.day, message.survey)
    customer, transaction = message.customer, message.transaction
    fact = Fact(
        workspace=workspace,
        response=message.id,
        revision=message.revision,
        state=message.state,
        day=message.day,
        survey=message.survey,
        journey=message.journey or "",
        touchpoint=message.touchpoint or "",
        customer=customer.id if customer else None,
        dimensions={name: {"value": d.value, "path": d.path} for name, d in message.dimensions.items()},
        transaction_was=transaction.model_dump(mode="json", exclude_none=True) if transaction else None,
        customer_was=customer.model_dump(mode="json", exclude={"id"}, exclude_none=True) if customer else None,
        counted=counted(message.answers, scales),
    )
    return replace(fact, derived=derive(fact, rollup)) if any(rollup.values()) else fact


def derive(fact: Fact, rollup: Rollup) -> dict[str, dict[str, str]]:
    """The dimensions that the workspace derives by path from the transaction and the customer as they were."""
    customer = None
    if fact.customer_was is not None:
        customer = CustomerSnapshot.model_construct(id=fact.customer, **fact.customer_was)
    was = {"data": (fact.transaction_was or {}).get("data", {}), "customer": customer_facts(customer)}
    found = {name: _text(read(was, path)) for name, path in rollup.items() if path}
    return {name: {"value": text, "path": text} for name, text in found.items() if text}


def counted(answers: Iterable[Answer], scales: Scales) -> tuple[Counted, ...]:
    """What the answers add to histograms; texts add nothing. Raises `NotCountable`."""
    found: dict[tuple[str, str], Counted] = {}
    for answer in answers:
        for value in _values(answer, scales):
            scale = answer.scale or _fixed(answer, scales)
            one = Counted(answer.question, value, answer.metric, answer.kind.value, scale)
            found[one.question, one.value] = one
    return tuple(found.values())


def cells_of(fact: Fact, rollup: Rollup) -> Iterator[Cell]:
    """The cells in which a fact counts, each once."""
    dimensions = tuple(sorted(_rolled_up(fact, rollup)))
    for one in fact.counted:
        yield Cell(
            one.metric, fact.survey, one.question, one.kind, one.scale,
            fact.journey, fact.touchpoint, fact.day, dimensions, one.value,
        )  # fmt: skip


def delta(old: Iterable[Fact], new: Iterable[Fact], rollup: Rollup) -> dict[Cell, int]:
    """What the cells of one workspace change by when the old facts give way to the new ones."""
    changes: Counter[Cell] = Counter()
    for fact in new:
        changes.update(cells_of(fact, rollup))
    for fact in old:
        changes.subtract(cells_of(fact, rollup))
    return {cell: change for cell, change in changes.items() if change}


def changes(old: Iterable[Fact], new: Iterable[Fact], rollups: Mapping[str, Rollup]) -> dict[tuple[str, Cell], int]:
    """`delta` for a batch of several workspaces, each with its own roll-up."""
    before, after = _by_workspace(old), _by_workspace(new)
    return {
        (workspace, cell): change
        for workspace, rollup in rollups.items()
        for cell, change in delta(before[workspace], after[workspace], rollup).items()
    }


@dataclass(frozen=True, slots=True)
class Drift:
    """How a cell as stored differs from what the facts say; a missing cell counts 0."""

    id: str
    stored: int
    right: int


def drifts(stored: Mapping[str, int], right: Mapping[str, int]) -> list[Drift]:
    """Every cell whose stored count is not what the facts say, in the order of ids."""
    pairs = ((id, stored.get(id, 0), right.get(id, 0)) for id in sorted(stored.keys() | right.keys()))
    return [Drift(id, had, should) for id, had, should in pairs if had != should]


def _by_workspace(facts: Iterable[Fact]) -> defaultdict[str, list[Fact]]:
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        found[fact.workspace].append(fact)
    return found


def _rolled_up(fact: Fact, rollup: Rollup) -> Iterator[tuple[str, str]]:
    for name, derived_by in rollup.items():
        dimension = (fact.derived if derived_by else fact.dimensions).get(name)
        if dimension:
            yield name, dimension["path"]


def _values(answer: Answer, scales: Scales) -> Iterable[str]:
    if answer.kind is QuestionKind.TEXT:
        return ()
    if answer.kind is QuestionKind.CHOICE:
        options = answer.value if isinstance(answer.value, tuple) else (str(answer.value),)
        return RESPONDENT, *(option for option in options if option)
    low, high = _bounds(answer, scales)
    if type(answer.value) is not int or not low <= answer.value <= high:
        raise NotCountable(f"{answer.question}: {answer.value!r} is not a whole number from {low} to {high}")
    return (str(answer.value),)


def _bounds(answer: Answer, scales: Scales) -> tuple[int, int]:
    found = parse_scale(answer.scale or _fixed(answer, scales))
    if found is None or found != scales.get(answer.kind.value, found):
        raise NotCountable(f"{answer.question}: {answer.scale!r} is no scale of a question of kind {answer.kind.value}")
    return found


def _fixed(answer: Answer, scales: Scales) -> str:
    low, high = scales.get(answer.kind.value, (0, 0))
    return f"{low}-{high}" if high else "many" if answer.kind is QuestionKind.CHOICE else ""


def parse_scale(scale: str) -> tuple[int, int] | None:
    """The ends of a scale such as 0-10; None for what is none."""
    ends = _SCALE.fullmatch(scale)
    low, high = (int(ends[1]), int(ends[2])) if ends else (0, 0)
    return (low, high) if low < high else None


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value).strip() or None
    return None
