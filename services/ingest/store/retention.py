"""What ingest keeps for how long: answers, and its copies of invitations. What must not happen twice stays known."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from services.ingest.tables import invitations, past_invitations, responses
from shared.db import Tx, delete, insert, now, update
from shared.db.ages import count_older, older_rows, oldest_day, oldest_moment
from shared.kept import Before, Kept

_I = invitations.c
_R = responses.c
_INVITATION = (_I.workspace, _I.id)
_RESPONSE = (_R.workspace, _R.id)
_STATES: Final = ("submitted", "deleted")
"""Those that have something to let go of. A parked answer stays, however old, until it can be joined."""
_FORGET = (
    sa.update(responses)
    .values(
        state=sa.literal_column("'forgotten'"),
        customer=sa.null(),
        locale=sa.null(),
        answers=sa.literal_column("'[]'"),
        joined=sa.literal_column("'{}'"),
    )
    .returning(_R.id)
)


def kept(answers_days: int, invitations_days: int) -> list[Kept]:
    """The classes of data of ingest."""
    return [
        Kept(
            "answers",
            answers_days,
            ("responses",),
            oldest=_oldest_answer,
            count=_count_answers,
            delete=_forget_answers,
        ),
        Kept(
            "invitations",
            invitations_days,
            ("invitations",),
            oldest=_oldest_copy,
            count=_count_copies,
            delete=_delete_copies,
        ),
    ]


async def _forget_answers(tx: Tx, before: Before, limit: int) -> int:
    """Let go of answers and of what they are joined with; the row stays, so that neither its id nor its invitation
    is ever answered again."""
    keys: list[tuple[str, str]] = []
    for state in _STATES:
        some = await older_rows(
            tx, _RESPONSE, _R.created_at, before.at, _R.state == state, limit=limit - len(keys)
        )
        keys += [(row.workspace, row.id) for row in some]
        if len(keys) == limit:
            break
    return len(await update(tx, _FORGET, _RESPONSE, sorted(keys)))


async def _count_answers(tx: Tx, before: Before, most: int) -> int:
    count = 0
    for state in _STATES:
        own = _R.state == state
        count += await count_older(tx, _R.created_at, before.at, own, most=most - count)
    return count


async def _oldest_answer(tx: Tx) -> date | None:
    moments = [await oldest_moment(tx, _R.created_at, _R.state == state) for state in _STATES]
    return min((moment.date() for moment in moments if moment), default=None)


async def _delete_copies(tx: Tx, before: Before, limit: int) -> int:
    """Delete copies, and leave of each who was asked. One that comes again, in a late message, goes again."""
    customer = _I.document["customer", "id"].as_string().label("customer")
    rows = await older_rows(
        tx, [*_INVITATION, customer], _I.id, before.id, await _is_past(tx), limit=limit
    )
    left = [dict(row._mapping) for row in sorted(rows, key=lambda row: (row.workspace, row.id))]
    await insert(tx, past_invitations, left)
    await delete(tx, invitations, _INVITATION, _keys(left))
    return len(rows)


async def _count_copies(tx: Tx, before: Before, most: int) -> int:
    return await count_older(tx, _I.id, before.id, await _is_past(tx), most=most)


async def _oldest_copy(tx: Tx) -> date | None:
    return await oldest_day(tx, _I.id, _I.document.is_not(None))


async def _is_past(tx: Tx) -> sa.ColumnElement[bool]:
    """Whether there is a copy, and its link expired before today: no page asks for it any more."""
    today = (await now(tx)).date().isoformat()
    expired: sa.ColumnElement[bool] = _I.document["expires_at"].as_string() < today
    return expired


def _keys(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["workspace"], row["id"]) for row in rows]
