"""What a response states: the fact, and what its answers add to histograms."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import msgspec

from shared.conditions import read
from shared.contracts.messages import ResponseChanged
from shared.contracts.values import (
    Answer,
    CustomerSnapshot,
    QuestionKind,
    Transaction,
    customer_facts,
)
from shared.errors import AfterwordError

Rollup = Mapping[str, str | None]
"""The dimensions that cells keep apart: name -> path to derive it by, None for one that responses bring."""

Scales = Mapping[str, tuple[int, int]]
RESPONDENT = ""
"""The value that a choice question counts once for each who chose, however many options they ticked."""

_TRANSACTION = ("source", "id", "type", "time", "key", "data")
_CUSTOMER = ("attributes", "locale", "time_zone")
_SCALE = re.compile(r"(-?\d{1,4})-(-?\d{1,4})")


class NotCountable(AfterwordError):
    """An answer that does not fit its own scale: clipping it would hide a fault upstream."""


class Counted(msgspec.Struct, frozen=True, gc=False):
    """One thing that an answer adds to its histogram."""

    question: str
    value: str
    metric: str
    kind: str
    scale: str


class Fact(msgspec.Struct, frozen=True):
    """A response as it stands in the tables; a deleted or forgotten one has only its revision left.

    What was (`transaction_was`, `customer_was`) is kept to derive dimensions from, and need not be loaded to count.
    """

    workspace: str
    response: str
    revision: int
    state: str
    day: date
    survey: str
    changed_at: datetime
    journey: str = ""
    touchpoint: str = ""
    customer: str | None = None
    dimensions: Mapping[str, Mapping[str, str]] = {}
    derived: Mapping[str, Mapping[str, str]] = {}
    transaction_was: Mapping[str, Any] | None = None
    customer_was: Mapping[str, Any] | None = None
    counted: tuple[Counted, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.workspace, self.response


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
        return Fact(
            workspace,
            message.id,
            message.revision,
            "deleted",
            message.day,
            message.survey,
            message.changed_at,
        )
    customer, transaction = message.customer, message.transaction
    fact = Fact(
        workspace=workspace,
        response=message.id,
        revision=message.revision,
        state=message.state,
        day=message.day,
        survey=message.survey,
        changed_at=message.changed_at,
        journey=message.journey or "",
        touchpoint=message.touchpoint or "",
        customer=customer.id if customer else None,
        dimensions={
            name: {"value": d.value, "path": d.path} for name, d in message.dimensions.items()
        },
        transaction_was=_was(transaction, _TRANSACTION),
        customer_was=_was(customer, _CUSTOMER),
        counted=counted(message.answers, scales),
    )
    if not any(rollup.values()):
        return fact
    return msgspec.structs.replace(fact, derived=derive(fact, rollup))


def derive(fact: Fact, rollup: Rollup) -> dict[str, dict[str, str]]:
    """The dimensions that the workspace derives by path from the transaction and the customer as they were."""
    customer = None
    if fact.customer is not None:
        customer = CustomerSnapshot.model_construct(id=fact.customer, **fact.customer_was or {})
    was = {
        "data": (fact.transaction_was or {}).get("data", {}),
        "customer": customer_facts(customer),
    }
    found = {name: _text(read(was, path)) for name, path in rollup.items() if path}
    return {name: {"value": text, "path": text} for name, text in found.items() if text}


def counted(answers: Iterable[Answer], scales: Scales) -> tuple[Counted, ...]:
    """What the answers add to histograms; texts add nothing. Raises `NotCountable`."""
    found: list[Counted] = []
    seen: set[str] = set()
    for answer in answers:
        question, kind = answer.question, answer.kind.value
        if question in seen:
            raise NotCountable(f"{question} is answered twice in one response")
        seen.add(question)
        scale = answer.scale or _fixed(kind, scales)
        for value in _values(answer, scale, scales):
            found.append(Counted(question, value, answer.metric, kind, scale))  # noqa: PERF401 - of an answer there is mostly one
    return tuple(found)


def _was(
    value: Transaction | CustomerSnapshot | None, names: tuple[str, ...]
) -> dict[str, Any] | None:
    if value is None:
        return None
    there = {name: getattr(value, name) for name in names}
    return {name: part for name, part in there.items() if part is not None}


def _values(answer: Answer, scale: str, scales: Scales) -> Iterable[str]:
    if answer.kind is QuestionKind.TEXT:
        return ()
    value = answer.value
    if answer.kind is QuestionKind.CHOICE:
        options = value if isinstance(value, tuple) else (str(value),)
        return dict.fromkeys((RESPONDENT, *options))
    low, high = _bounds(answer, scale, scales)
    if type(value) is not int or not low <= value <= high:
        raise NotCountable(
            f"{answer.question}: {value!r} is not a whole number from {low} to {high}"
        )
    return (str(value),)


def _bounds(answer: Answer, scale: str, scales: Scales) -> tuple[int, int]:
    found = parse_scale(scale)
    if found is None or found != scales.get(answer.kind, found):
        raise NotCountable(
            f"{answer.question}: {answer.scale!r} is no scale of a question of kind {answer.kind.value}"
        )
    return found


def _fixed(kind: str, scales: Scales) -> str:
    low, high = scales.get(kind, (0, 0))
    return f"{low}-{high}" if high else "many" if kind == QuestionKind.CHOICE else ""


@lru_cache(maxsize=1_000)
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
