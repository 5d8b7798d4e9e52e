"""GET /v1/scores: any histogram that the facts hold, as scores with their uncertainty."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from services.scoring.api.context import Context, context_of
from services.scoring.api.query import ScoreQuery, check_known, read_question
from services.scoring.metrics import METHODS, score
from services.scoring.rules import RESPONDENT, Rollup, parse_scale
from services.scoring.store import rollups, scores
from services.scoring.store.scores import Question
from shared.auth import Principal, Scope, requires
from shared.http.problems import FieldError, invalid

MAX_GROUPS = 5_000
MAX_ROWS = 200_000

router = APIRouter(tags=["scores"])


class Bounds(BaseModel):
    """The interval in which the value lies with this probability, as far as chance goes."""

    low: float
    high: float
    level: float


class Scored(BaseModel):
    """One score. By kind it also has counts, histogram, mean, index or shares; a choice has shares for a value."""

    model_config = ConfigDict(extra="allow")

    metric: str
    survey: str | None = Field(None, description="Only where a survey was asked for")
    kind: str
    scale: str
    group: dict[str, str | None] = Field(
        description="What `by` asked for; null where responses have no such value"
    )
    start: date = Field(alias="from", description="First day with an answer")
    end: date = Field(alias="to", description="Last day with an answer")
    value: float | None
    n: int = Field(description="How many answered")
    interval: Bounds | None
    method: str
    small_n: bool = Field(description="Too few answers to rank or colour")


class Scores(BaseModel):
    """Scores in a fixed order; `methods` says how each kind is computed."""

    items: list[Scored]
    methods: dict[str, str]


@router.get("/v1/scores", response_model_exclude_unset=True)
async def get_scores(
    query: Annotated[ScoreQuery, Query()],
    principal: Annotated[Principal, Depends(requires(Scope.SCORES_READ))],
    context: Annotated[Context, Depends(context_of)],
) -> Scores:
    """Scores of a metric, a survey or a kind of question, filtered and grouped by any of their dimensions.

    Answers of different kinds and scales are never put together. A value that a response does not have is null in
    `group`. Nothing found is an empty list. What is asked for of a time whose answers are not kept one by one any longer
    (see `from` in the problem) must be among the dimensions that are kept apart.
    """
    question = read_question(query)
    async with context.database.read() as tx:
        rollup = await rollups.of(tx, principal.workspace, context.rollup)
        if question.dimensions() - rollup.keys():
            known = rollup.keys() | await rollups.brought_names(tx, principal.workspace)
            check_known(question, known)
        view = principal.data.view()  # no units are kept here: by the paths as they were
        if not scores.in_cells(view, question, rollup):
            last = await scores.forgotten_until(tx, principal.workspace, question)
            _check_whole(question, last, rollup)
        rows = await scores.histograms(
            tx, principal.workspace, view, question, rollup, MAX_ROWS + 1
        )
    items = _items(rows, question)
    methods = {item["kind"]: METHODS[item["kind"]] for item in items}
    return Scores(items=[Scored(**item) for item in items], methods=methods)


def _check_whole(question: Question, forgotten_until: date | None, rollup: Rollup) -> None:
    """Raise a 422 `Problem` where single answers would be read that are not there any longer: the numbers would be
    others than those of the same time elsewhere."""
    if forgotten_until is None:
        return
    kept = ", ".join(sorted(rollup)) or "no dimension"
    since = f"{question.start}" if question.start else "the beginning"
    message = (
        f"single answers up to {forgotten_until} are not kept any longer, and {since} is asked for"
    )
    expected = (
        f"from={forgotten_until + timedelta(days=1)} or later; before, scores by {kept} alone"
    )
    raise invalid([FieldError("from", message, expected)])


def _items(rows: Sequence[Any], question: Question) -> list[dict[str, Any]]:
    grouped: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    groups = len(question.by)
    for row in rows:
        grouped[tuple(row[: 3 + groups])].append(row)
    if len(grouped) > MAX_GROUPS or len(rows) > MAX_ROWS:
        advice = "fewer `by`, a shorter range, or coarser steps: month for day, org@2 for org"
        raise invalid(
            [FieldError("by", f"the answer would have more than {MAX_GROUPS} groups", advice)]
        )
    return [_item(key, grouped[key], question) for key in sorted(grouped)]


def _item(key: tuple[Any, ...], rows: Sequence[Any], question: Question) -> dict[str, Any]:
    metric, kind, scale, *group = key
    named = dict(question.columns)
    labels = [grouping.label for grouping in question.by]
    values = [value.isoformat() if isinstance(value, date) else value or None for value in group]
    item = {"metric": metric} | ({"survey": named["survey"]} if "survey" in named else {})
    item |= _scored(kind, scale, {row.value: row.n for row in rows}) | {"scale": scale}
    return item | {
        "group": dict(zip(labels, values, strict=True)),
        "from": min(row.first for row in rows).isoformat(),
        "to": max(row.last for row in rows).isoformat(),
    }


def _scored(kind: str, scale: str, histogram: dict[str, int]) -> dict[str, Any]:
    if kind == "choice":
        respondents = histogram.pop(RESPONDENT, 0)
        return score(kind, None, dict(sorted(histogram.items())), respondents)
    return score(kind, parse_scale(scale), {int(value): n for value, n in histogram.items()})
