"""The routes that operators and the command line use of every service: status and dead letters."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from shared.auth import Principal, Scope, requires
from shared.contracts.keys import decode_key
from shared.contracts.topics import Topic
from shared.dead_letters import DeadLetter, find_dead_letter, list_dead_letters
from shared.errors import Unavailable, Undecodable
from shared.http.pages import Limit
from shared.http.problems import Problem, not_found
from shared.outbox import measure
from shared.runtime import Ground
from shared.telemetry import log

Reader = Annotated[Principal, Depends(requires(Scope.OPERATIONS_READ))]
Writer = Annotated[Principal, Depends(requires(Scope.OPERATIONS_WRITE))]


@dataclass(frozen=True)
class Check:
    """One thing `doctor` looks at: `warn` wants a look, `fail` wants an operator now; the hint says what to do."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    hint: str | None = None


Checks = Callable[[str], Awaitable[Sequence[Check]]]
"""What a service has in a workspace beside its loop and outbox: overdue work, failed sendings, what is parked."""


async def _no_checks(workspace: str) -> Sequence[Check]:
    return ()


class DeadLetterJson(BaseModel):
    """A dead letter as it is shown; `value` is what the record held, cut to 10,000 characters."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    reason: str
    died_at: datetime
    value: str | None = None


def operation_routes(ground: Ground, *, checks: Checks = _no_checks) -> APIRouter:
    """The router; dead letters are those of the caller's workspace. `checks` tells `doctor` of this service's own."""
    router = APIRouter(prefix=f"/v1/operations/{ground.service}", tags=["operations"])

    @router.get("/status")
    async def status(principal: Reader) -> dict[str, Any]:
        """Each dependency, each lag, the outbox, and what is stopped."""
        return {
            "service": ground.service,
            "database": await _database(ground),
            "log": await _lag(ground),
            "loop": _loop(ground),
            "checks": await _checked(checks, principal.workspace),
        }

    @router.get("/dead-letters")
    async def dead_letters(
        principal: Reader, limit: Limit = 100
    ) -> dict[str, list[DeadLetterJson]]:
        """The newest dead letters, newest first."""
        letters = await list_dead_letters(
            ground.log,
            ground.service,
            ground.topics,
            limit=limit,
            wanted=lambda letter: _belongs(ground, letter, principal),
        )
        return {"items": [_json(letter) for letter in letters]}

    @router.get("/dead-letters/{id}")
    async def dead_letter(id: str, principal: Reader) -> DeadLetterJson:
        """One dead letter with what it held."""
        letter = await _find(ground, principal, id)
        value = letter.record.value
        return _json(letter, None if value is None else value.decode("utf-8", "replace")[:10_000])

    @router.post("/dead-letters/{id}/replay")
    async def replay(id: str, principal: Writer) -> dict[str, str]:
        """Handle it again in this service. Harmless when it was handled meanwhile; 409 when it fails again."""
        letter = await _find(ground, principal, id)
        if ground.worker is None:
            raise not_found("dead letter", id)
        try:
            await ground.worker.replay(letter.record)
        except Unavailable:
            raise
        except Exception as error:
            log.warning("dead_letter_failed_again", id=id, by=principal.id, exc_info=error)
            reason = str(error) if isinstance(error, Undecodable) else type(error).__name__
            raise Problem(409, "failed-again", f"It failed again: {reason}") from error
        log.info("dead_letter_replayed", id=id, by=principal.id, workspace=principal.workspace)
        return {"id": id, "outcome": "handled"}

    return router


async def _find(ground: Ground, principal: Principal, id: str) -> DeadLetter:
    letter = await find_dead_letter(ground.log, ground.service, ground.topics, id)
    if letter is None or not _belongs(ground, letter, principal):
        raise not_found("dead letter", id)
    return letter


def _belongs(ground: Ground, letter: DeadLetter, principal: Principal) -> bool:
    """Whose a letter is: an inlet's is its workspace's, whatever its key says, for others chose that key."""
    topic = letter.record.topic
    if topic not in set(Topic):
        return ground.access.inlets().get(topic) == principal.workspace
    try:
        return decode_key(letter.record.key).workspace == principal.workspace
    except Undecodable:
        return False


def _json(letter: DeadLetter, value: str | None = None) -> DeadLetterJson:
    record = letter.record
    key = (record.key or b"").decode("utf-8", "replace")
    return DeadLetterJson(
        id=letter.id,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=key,
        reason=letter.reason,
        died_at=letter.died_at,
        value=value,
    )


async def _database(ground: Ground) -> dict[str, Any]:
    try:
        return {"ok": True, "outbox": await measure(ground.database, ground.tables.outbox)}
    except Unavailable as error:
        return {"ok": False, "reason": str(error)}


async def _checked(checks: Checks, workspace: str) -> list[dict[str, Any]]:
    try:
        return [asdict(check) for check in await checks(workspace)]
    except Unavailable:
        return []  # that the database is away stands in the status already


async def _lag(ground: Ground) -> dict[str, Any]:
    try:
        lags = await ground.log.lag(ground.service, ground.topics) if ground.topics else {}
    except Unavailable as error:
        return {"ok": False, "reason": str(error)}
    by_topic: dict[str, int] = {}
    for partition, lag in lags.items():
        by_topic[partition.topic] = by_topic.get(partition.topic, 0) + lag.records
    return {"ok": True, "lag": by_topic}


def _loop(ground: Ground) -> dict[str, Any]:
    if ground.worker is None:
        return {"ok": True}
    status = ground.worker.status
    stopped = [{**p._asdict(), "reason": reason} for p, reason in status.stopped.items()]
    return {
        "ok": not stopped and status.waiting_for is None,
        "waiting_for": status.waiting_for,
        "stopped": stopped,
    }
