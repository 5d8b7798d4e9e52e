"""Reads the question that the parameters of GET /v1/scores ask, and names what is wrong with them."""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.scoring.store.scores import BUILT_IN, Grouping, Question
from shared.http.problems import FieldError, invalid

MAX_DAYS = 3_653
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GROUPING = re.compile(r"([A-Za-z0-9._-]{1,64})(?:@([1-9]|1[0-9]))?")
_FILTER = re.compile(r"([A-Za-z0-9._-]{1,64}):(.{0,500})", re.DOTALL)


def _day(value: object) -> object:
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("is not a day written as YYYY-MM-DD")
    return value


Day = Annotated[date | None, BeforeValidator(_day)]
Text = Annotated[str, Field(max_length=600)]


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


def read_question(query: ScoreQuery) -> Question:
    """The question. Raises a 422 `Problem` that lists everything wrong."""
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


def check_known(question: Question, known: set[str]) -> None:
    """Raise a 422 `Problem` for a dimension that the workspace never saw, naming those it has."""
    unknown = sorted(question.dimensions() - known)
    if unknown:
        at = "where" if any(name == unknown[0] for name, _ in question.where) else "by"
        names = ", ".join(sorted(known)) or "none yet"
        raise invalid([FieldError(at, f"there is no dimension {unknown[0]!r}", f"one of: {names}")])
