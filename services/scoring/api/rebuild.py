"""POST .../rebuild: the histograms computed anew from the facts, what had drifted, and new dimensions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends
from msgspec import structs
from pydantic import BaseModel, Field, StrictBool

from services.scoring import rules
from services.scoring.api.context import Context, context_of
from services.scoring.rules import Cell, Rollup
from services.scoring.store import cells, facts, rollups
from services.scoring.store.scores import BUILT_IN
from shared.auth import Principal, Scope, requires
from shared.conditions import ConditionError, parse_path
from shared.db import Tx
from shared.http.bodies import Body
from shared.http.problems import FieldError, invalid
from shared.telemetry import log

MAX_DIMENSIONS = 8
_PAGE = 2_000
_SHOWN = 100
_ROOTS = frozenset({"data", "customer"})

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
router = APIRouter(prefix="/v1/operations/scoring", tags=["operations"])


class Rebuild(Body):
    """What to rebuild with; without anything the histograms are checked and put right."""

    dimensions: dict[Name, str | None] = Field(
        {},
        max_length=MAX_DIMENSIONS,
        description="Dimensions to keep apart from now on: name -> path such as data.tier or customer.segment, or"
        " null for one that responses bring",
    )
    remove: list[Name] = Field(
        [], max_length=MAX_DIMENSIONS, description="Dimensions no longer to keep apart"
    )
    dry_run: StrictBool = Field(False, description="Only report")


class Drifted(BaseModel):
    """A cell whose count was not what the facts say."""

    id: str
    stored: int
    right: int


class Rebuilt(BaseModel):
    """What was found and, unless it was a dry run, put right."""

    dimensions: dict[str, str | None]
    facts: int
    cells: int
    forgotten: int = Field(
        description="How much is counted of answers that are not kept one by one any longer; it is taken over as it"
        " stands, and no new dimension tells it apart"
    )
    drifted: int
    drift: list[Drifted] = Field(description=f"The first {_SHOWN} cells that had drifted")
    dry_run: bool


@dataclass
class _Recount:
    """What is right, by the facts and by what was forgotten of them: with the dimensions that stood, and with those that
    are wanted."""

    facts: int = 0
    standing: Counter[Cell] = field(default_factory=Counter)
    wanted: Counter[Cell] = field(default_factory=Counter)
    forgotten: Counter[Cell] = field(default_factory=Counter)
    """What no fact says any longer, in the dimensions that are wanted; the other two hold it too."""


@router.post("/rebuild")
async def rebuild(
    body: Rebuild,
    principal: Annotated[Principal, Depends(requires(Scope.OPERATIONS_WRITE))],
    context: Annotated[Context, Depends(context_of)],
) -> Rebuilt:
    """Compute the workspace's histograms from its facts, report what differed, and put it right in one transaction.

    Responses that arrive meanwhile wait for its end. A new dimension is derived for all facts there are, from the
    transaction and the customer as they were, and for all that come.
    """
    workspace = principal.workspace
    async with context.database.begin() as tx:
        standing = await rollups.take(tx, workspace, context.rollup)
        wanted = _wanted(body, standing, await rollups.brought_names(tx, workspace))
        told = await _recount(tx, workspace, standing, wanted, store=not body.dry_run)
        stored = await cells.counts(tx, workspace)
        drift = rules.drifts(stored, {cell.id: n for cell, n in told.standing.items()})
        if not body.dry_run:
            await rollups.declare(tx, workspace, wanted)
            await _put_right(tx, workspace, stored, told, same=wanted == standing)
    log.info(
        "scores_rebuilt",
        workspace=workspace,
        by=principal.id,
        drifted=len(drift),
        dry_run=body.dry_run,
    )
    return Rebuilt(
        dimensions=dict(wanted),
        facts=told.facts,
        cells=len(told.wanted),
        forgotten=told.forgotten.total(),
        drifted=len(drift),
        drift=[Drifted(**asdict(one)) for one in drift[:_SHOWN]],
        dry_run=body.dry_run,
    )


def _wanted(body: Rebuild, standing: Rollup, brought: set[str]) -> Rollup:
    names = f"one of: {', '.join(sorted(standing))}"
    errors = [
        FieldError(f"remove[{i}]", f"{name!r} is not kept apart", names)
        for i, name in enumerate(body.remove)
        if name not in standing
    ]
    for name, path in body.dimensions.items():
        errors += _problems(name, path, brought | standing.keys())
    kept = {name: path for name, path in standing.items() if name not in body.remove}
    wanted = kept | body.dimensions
    if len(wanted) > MAX_DIMENSIONS:
        problem = f"{len(wanted)} would be kept apart", f"at most {MAX_DIMENSIONS}"
        errors.append(FieldError("dimensions", *problem))
    if errors:
        raise invalid(errors)
    return wanted


def _problems(name: str, path: str | None, known: set[str]) -> list[FieldError]:
    at = f"dimensions.{name}"
    if name in BUILT_IN:
        return [FieldError(at, "is built in and always kept apart", "another name")]
    if path is None:
        expected = f"a path such as data.{name}, or one of: {', '.join(sorted(known))}"
        missing = FieldError(at, "no response ever brought it", expected)
        return [] if name in known else [missing]
    try:
        parse_path(path, _ROOTS, at=at)
    except ConditionError as error:
        return [FieldError(one.at, one.message, one.expected) for one in error.problems]
    return []


async def _recount(
    tx: Tx, workspace: str, standing: Rollup, wanted: Rollup, *, store: bool
) -> _Recount:
    """Count all facts anew, page by page, on top of what was forgotten; with `store`, facts keep what the wanted
    dimensions derive."""
    forgotten = await cells.forgotten(tx, workspace)
    found = _Recount(forgotten=rules.carried_over(forgotten, standing, wanted))
    found.standing.update(forgotten)
    found.wanted.update(found.forgotten)
    same = wanted == standing
    after = ""
    while page := await facts.page(tx, workspace, after, _PAGE):
        after = page[-1].response
        found.facts += len(page)
        moved = page
        if not same:
            moved = [structs.replace(fact, derived=rules.derive(fact, wanted)) for fact in page]
        changed = []
        for fact, there in zip(page, moved, strict=True):
            found.standing.update(rules.cells_of(fact, standing))
            found.wanted.update(rules.cells_of(there, wanted))
            if there.derived != fact.derived:
                changed.append(there)
        if store:
            await facts.derive_again(tx, changed)
    return found


async def _put_right(
    tx: Tx, workspace: str, stored: Mapping[str, int], told: _Recount, *, same: bool
) -> None:
    """Write the cells that are wrong; where other dimensions are kept apart, all: what is forgotten moves too."""
    by_id = {cell.id: cell for cell in told.wanted}
    wrong = {
        cell: told.wanted[cell]
        for id, cell in by_id.items()
        if not same or stored.get(id) != told.wanted[cell]
    }
    gone = stored.keys() - by_id.keys()
    await cells.put_right(tx, workspace, wrong, told.forgotten, gone)
