"""GET /v1/scores: any histogram that the facts hold, as scores with their uncertainty."""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from services.scoring.api.context import Context, context_of
from services.scoring.metrics import METHODS, score
from services.scoring.rules import RESPONDENT, parse_scale
from services.scoring.store import rollups, scores
from services.scoring.store.scores import BUILT_IN, Grouping, Question
from shared.auth import Principal, Scope, requires
from shared.http.problems import FieldError, invalid

MAX_GROUPS = 5_000
MAX_ROWS = 200_000
MAX_DAYS = 3_653
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_GROUPING = re.compile(r"([A-Za-z0-9._-]{1,64})(?:@([1-9]|1[0-9]))?")
_FILTER = re.compile(r"([A-Za-z0-9._-]{1,64}):(.{0,500})", re.DOTALL)

router = APIRouter(tags=["scores"])


def _day(value: object) -> object:
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("is not a day written as YYYY-MM-DD")
    return value


def _clean(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


Day = Annotated[date | None, BeforeValidator(_day)]
Text = Annotated[str, AfterValidator(_clean), Field(max_length=600)]


class ScoreQuery(BaseModel):
    """The parameters; unknown ones are refused, so that a misspelt filter is not a wrong number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Text | None = Field(None, description="What was measured, e.g. purchase-nps.recommend")
    survey: Text | None = Field(None, description="Only answers to this survey")
    kind: Literal["nps", "csat", "ces", "rating", "choice"] | None = Field(
        None, description="Only questions of this kind"
    )
    journey: Text | None = None
    touchpoint: Text | None = None
    where: list[Text] = Field(
        [],
        max_length=20,
        description="DIMENSION:VALUE, repeatable; a path matches all below it: org:cn/east",
    )
    start: Day = Field(None, alias="from", description="First day, in the workspace's zone")
    end: Day = Field(None, alias="to", description="Last day, included")
    by: list[Text] = Field(
        [], max_length=8,
        description="What to group by, repeatable: day, week (from Monday), month, survey, journey, touchpoint, or a"
        " dimension; org@2 rolls paths up to their first two levels",
    )  # fmt: skip


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
    `group`. Nothing found is an empty list.
    """
    question = _read(query)
    async with context.database.read() as tx:
        rollup = await rollups.of(tx, principal.workspace, context.rollup)
        if question.dimensions() - rollup.keys():
            known = rollup.keys() | await rollups.brought_names(tx, principal.workspace)
            _check_known(question, known)
        rows = await scores.histograms(tx, principal.workspace, question, rollup, MAX_ROWS + 1)
    items = _items(rows, question)
    methods = {item["kind"]: METHODS[item["kind"]] for item in items}
    return Scores(items=[Scored(**item) for item in items], methods=methods)


def _read(query: ScoreQuery) -> Question:
    errors: list[FieldError] = []
    if not (query.metric or query.survey or query.kind):
        errors.append(
            FieldError(
                "metric", "one of metric, survey and kind must say what to score", "e.g. kind=nps"
            )
        )
    if query.start and query.end:
        if query.start > query.end:
            errors.append(
                FieldError("from", f"{query.start} is after to={query.end}", "a day not after `to`")
            )
        elif (query.end - query.start).days > MAX_DAYS:
            errors.append(
                FieldError("from", "the range is over ten years", f"at most {MAX_DAYS} days")
            )
    filters = [_FILTER.fullmatch(text) for text in query.where]
    groups = [_GROUPING.fullmatch(text) for text in query.by]
    errors += [
        FieldError(f"where[{i}]", "is no filter", "DIMENSION:VALUE, e.g. org:cn/east")
        for i, found in enumerate(filters)
        if found is None or found[1] in BUILT_IN
    ]
    errors += [
        FieldError(
            f"by[{i}]",
            "is nothing to group by",
            "day, week, month, survey, journey, touchpoint, a dimension, or org@2",
        )
        for i, found in enumerate(groups)
        if found is None or (found[2] and found[1] in BUILT_IN)
    ]
    if errors:
        raise invalid(errors)
    columns = (
        (name, getattr(query, name))
        for name in ("metric", "survey", "kind", "journey", "touchpoint")
    )
    by = [Grouping(found[1], int(found[2]) if found[2] else None) for found in groups if found]
    return Question(
        columns=tuple((name, value) for name, value in columns if value is not None),
        where=tuple((found[1], found[2]) for found in filters if found),
        start=query.start,
        end=query.end,
        by=tuple(dict.fromkeys(by)),
    )


def _check_known(question: Question, known: set[str]) -> None:
    unknown = sorted(question.dimensions() - known)
    if unknown:
        at = "where" if any(name == unknown[0] for name, _ in question.where) else "by"
        names = ", ".join(sorted(known)) or "none yet"
        raise invalid([FieldError(at, f"there is no dimension {unknown[0]!r}", f"one of: {names}")])


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
