"""Every SQL statement about responses: taken in once, joined, edited, deleted, read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter

from services.ingest.rules import responses as rules
from services.ingest.rules.responses import Answered, Closed, Joined, Response, Standing
from services.ingest.store import invitations
from services.ingest.tables import outbox, responses
from shared.contracts.envelope import Received
from shared.contracts.newest import by_id, newest
from shared.contracts.values import Answer
from shared.data_scope import View, dimensions_in
from shared.db import Tx, Upsert, insert, load, now
from shared.outbox import announce

SERVICE: Final = "ingest"
_ID = (responses.c.workspace, responses.c.id)
_INVITATION = (responses.c.workspace, responses.c.invitation)
_CHANGING = (
    "revision",
    "state",
    "customer",
    "answers",
    "joined",
    "day",
    "changed_at",
    "changed_by",
)
_answers = TypeAdapter(tuple[Answer, ...])
_joined = TypeAdapter(Joined)


@dataclass(frozen=True)
class Outcome:
    """What became of an answer at the door: taken now, already there, or refused because the invitation is closed."""

    response: Response | None
    fresh: bool = False
    closed: Closed | None = None


@dataclass(frozen=True)
class Filter:
    """Which responses to list; None is any."""

    survey: str | None = None
    customer: str | None = None
    invitation: str | None = None
    state: str | None = None
    first_day: date | None = None
    last_day: date | None = None


async def submit(tx: Tx, answered: Answered, *, own: Joined | None, time_zone: str) -> Outcome:
    """Take an answer in, once per invitation and once per id, and announce it when it can be joined.

    `own` is what an answer without an invitation brings along. An answer that is there already is returned as it
    is, and nothing is changed.
    """
    copy = None
    if answered.invitation is not None:
        copy = await invitations.hold(tx, answered.workspace, answered.invitation)
    at = await now(tx)
    reason = rules.closed(Standing(copy.state, copy.expires_at) if copy else None, at)
    if copy is None and await _is_past(tx, answered):
        reason = "expired"
    if reason:
        known = await _known(tx, answered)
        return Outcome(known) if known else Outcome(None, closed=reason)
    response = rules.parked(answered, at)
    joined = rules.joined_with(copy) if copy else own
    if joined is not None:
        response = rules.submitted(response, joined, time_zone, at)
    if not await insert(tx, responses, [_row(response)], returning=("id",)):
        return Outcome(await _known(tx, answered))
    await _announce(tx, [response])
    return Outcome(response, fresh=True)


async def save(
    tx: Tx, changed: Sequence[Response], *, traceparents: Sequence[str | None] | None = None
) -> None:
    """Write new revisions, whose rows the caller has locked, and announce them."""
    rows = [_row(response) for response in changed]
    await insert(tx, responses, rows, upsert=Upsert(("workspace", "id"), replace=_CHANGING))
    await _announce(tx, changed, traceparents)


async def restore(tx: Tx, batch: Sequence[Received[Any]], *, by: str) -> int:
    """Take over again what was announced, where it is newer than what is stored; returns how many responses.

    Of several answers to one invitation the one that was announced first stands: the others were taken while it was
    not known here, and give way to it.
    """
    announced = {
        key: rules.restored(received.workspace, received.message, by)
        for key, received in newest(batch, by_id).items()
    }
    stands = await _make_room(tx, batch, by)
    at = await now(tx)
    gone = {
        key: rules.given_way(each, by, at)
        for key, each in announced.items()
        if stands.get((each.workspace, each.invitation or ""), each.id) != each.id
    }
    rows = [_row(each) for each in (announced | gone).values()]
    upsert = Upsert(("workspace", "id"), replace=_CHANGING, newer="revision")
    written = await insert(tx, responses, rows, upsert=upsert, returning=("workspace", "id"))
    keys = {(row.workspace, row.id) for row in written}
    await _announce(tx, [each for key, each in gone.items() if key in keys])
    return len(written)


async def get_response(tx: Tx, workspace: str, id: str, *, lock: bool = False) -> Response | None:
    """One response, locked for a change if asked."""
    found = await load(tx, responses, _ID, [(workspace, id)], lock=lock)
    return _response(found[0]) if found else None


async def answer_of(tx: Tx, workspace: str, invitation: str) -> Response | None:
    """The one answer to an invitation."""
    found = await load(tx, responses, _INVITATION, [(workspace, invitation)])
    return _response(found[0]) if found else None


async def parked_answers(tx: Tx, keys: Sequence[tuple[str, str]]) -> list[Response]:
    """The parked answers to these (workspace, invitation), locked."""
    found = await load(tx, responses, _INVITATION, keys, lock=True)
    return [_response(row) for row in found if row.state == "parked"]


async def list_responses(
    tx: Tx,
    workspace: str,
    view: View,
    wanted: Filter,
    *,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Response]:
    """Responses that the view shows, the newest taken in first."""
    r = responses
    seen = view.condition(dimensions_in(r.c.joined))
    statement = sa.select(r).where(r.c.workspace == workspace, seen, *_conditions(wanted))
    if after is not None:
        at, id = after
        statement = statement.where(
            sa.or_(r.c.created_at < at, sa.and_(r.c.created_at == at, r.c.id < id))
        )
    statement = statement.order_by(r.c.created_at.desc(), r.c.id.desc()).limit(limit)
    return [_response(row) for row in await tx.execute(statement)]


async def count_parked(tx: Tx, workspace: str) -> int:
    """How many answers wait for their invitation."""
    statement = sa.select(sa.func.count()).where(
        responses.c.workspace == workspace, responses.c.state == "parked"
    )
    return int((await tx.execute(statement)).scalar_one())


async def _is_past(tx: Tx, answered: Answered) -> bool:
    """Whether the invitation's copy is not here any more, rather than not yet."""
    workspace, id = answered.workspace, answered.invitation
    return id is not None and await invitations.past_customer(tx, workspace, id) is not None


async def _known(tx: Tx, answered: Answered) -> Response | None:
    """The response that stands where this one would: first by the invitation, which can have only one."""
    if answered.invitation is not None:
        found = await answer_of(tx, answered.workspace, answered.invitation)
        if found is not None:
            return found
    return await get_response(tx, answered.workspace, answered.id)


async def _make_room(
    tx: Tx, batch: Sequence[Received[Any]], by: str
) -> Mapping[tuple[str, str], str]:
    """Which response stands for each invitation that was answered: one that was restored before, else the first of the
    batch. What stands in its place is deleted, and that is announced."""
    stands: dict[tuple[str, str], str] = {}
    for received in batch:
        if received.message.invitation is not None:
            key = (received.workspace, received.message.invitation)
            stands.setdefault(key, received.message.id)
    found = await load(tx, responses, _INVITATION, sorted(stands), lock=True)
    stands |= {(row.workspace, row.invitation): row.id for row in found if row.changed_by == by}
    others = [_response(row) for row in found if row.id != stands[row.workspace, row.invitation]]
    if others:
        at = await now(tx)
        for other in others:
            await tx.execute(
                sa.update(responses)
                .where(responses.c.workspace == other.workspace, responses.c.id == other.id)
                .values(invitation=None)
            )
        await save(tx, [rules.given_way(other, by, at) for other in others])
    return stands


async def _announce(
    tx: Tx, changed: Sequence[Response], traceparents: Sequence[str | None] | None = None
) -> None:
    told = [
        (announcement, traceparent)
        for response, traceparent in zip(
            changed, traceparents or [None] * len(changed), strict=True
        )
        if (announcement := rules.announcement(response)) is not None
    ]
    if told:
        at = changed[0].changed_at
        await announce(
            tx, outbox, SERVICE, at, [a for a, _ in told], traceparents=[trace for _, trace in told]
        )


def _conditions(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    r = responses.c
    equal = {
        r.survey: wanted.survey,
        r.customer: wanted.customer,
        r.invitation: wanted.invitation,
        r.state: wanted.state,
    }
    conditions = [column == value for column, value in equal.items() if value is not None]
    if wanted.first_day is not None:
        conditions.append(r.day >= wanted.first_day)
    if wanted.last_day is not None:
        conditions.append(r.day <= wanted.last_day)
    return conditions


def _row(response: Response) -> dict[str, Any]:
    row = {field.name: getattr(response, field.name) for field in fields(response)}
    row["customer"] = response.customer
    row["answers"] = _answers.dump_python(response.answers, mode="json", exclude_none=True)
    row["joined"] = _joined.dump_python(response.joined, mode="json", exclude_none=True)
    return row


def _response(row: sa.Row[Any]) -> Response:
    known = {field.name: getattr(row, field.name) for field in fields(Response)}
    known["answers"] = _answers.validate_python(row.answers)
    known["joined"] = _joined.validate_python(row.joined)
    return Response(**known)
