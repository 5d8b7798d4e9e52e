"""Histograms by group: from the cells where they keep apart what is asked for, else from the facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from services.scoring.rules import Rollup
from services.scoring.store.dialect import head_of, month_of, week_of
from services.scoring.tables import answers, cells, facts
from shared.data_scope import View, below
from shared.db import Tx

COLUMNS = ("survey", "journey", "touchpoint")
PERIODS = ("day", "week", "month")
BUILT_IN = frozenset((*COLUMNS, *PERIODS))


@dataclass(frozen=True)
class Grouping:
    """One thing to group by: a column, a period or a dimension, this one perhaps cut to its first levels."""

    name: str
    levels: int | None = None

    @property
    def label(self) -> str:
        return self.name if self.levels is None else f"{self.name}@{self.levels}"


@dataclass(frozen=True)
class Question:
    """What is asked for: filters by column, by dimension (a value or a path's prefix) and by day; and the groups."""

    columns: tuple[tuple[str, str], ...]
    where: tuple[tuple[str, str], ...] = ()
    start: date | None = None
    end: date | None = None
    by: tuple[Grouping, ...] = ()

    def dimensions(self) -> set[str]:
        """The dimensions that are filtered or grouped by."""
        grouped = {group.name for group in self.by} - BUILT_IN
        return grouped | {name for name, _ in self.where}


async def histograms(
    tx: Tx, workspace: str, view: View, question: Question, rollup: Rollup, limit: int
) -> Sequence[Any]:
    """Rows of metric, kind, scale, the groups (`by_0`, ...), value, how often, first and last day; at most `limit`.

    Counts what the view shows. Reads cells when they keep all that is asked for and limited apart, else counts the
    answers themselves.
    """
    source = _Cells(rollup) if in_cells(view, question, rollup) else _Facts(rollup)
    columns = source.columns
    groups = [_group(source, group).label(f"by_{i}") for i, group in enumerate(question.by)]
    picked = (
        sa.select(
            *(columns[name] for name in ("metric", "kind", "scale", "value", "day")),
            source.n.label("n"),
            *groups,
        )
        .select_from(source.tables)
        .where(
            columns["workspace"] == workspace,
            view.condition(source.brought),
            *_conditions(source, question),
        )
        .subquery("picked")
    )
    labels = [group.name for group in groups]
    keys = [picked.c[name] for name in ("metric", "kind", "scale", *labels, "value")]
    total = sa.cast(sa.func.sum(picked.c.n), sa.BigInteger)
    statement = (
        sa.select(
            *keys,
            total.label("n"),
            sa.func.min(picked.c.day).label("first"),
            sa.func.max(picked.c.day).label("last"),
        )
        .group_by(*keys)
        .having(total != 0)
        .limit(limit)
    )
    return (await tx.execute(statement)).all()


def in_cells(view: View, question: Question, rollup: Rollup) -> bool:
    """Whether cells keep apart all that is asked for and limited."""
    return question.dimensions() <= rollup.keys() and view.names <= _brought(rollup)


async def forgotten_until(tx: Tx, workspace: str, question: Question) -> date | None:
    """The last day asked for of which answers are not kept one by one any longer: only cells count them."""
    c = cells.c
    named = [c[name] == value for name, value in question.columns]
    some = sa.select(c.day).where(c.workspace == workspace, c.forgotten > 0, *named)
    last: date | None = (
        await tx.execute(some.where(*_on_days(c.day, question)).order_by(c.day.desc()).limit(1))
    ).scalar()
    return last


class _Cells:
    """The histograms as they are kept."""

    def __init__(self, rollup: Rollup) -> None:
        self.tables: sa.FromClause = cells
        self.columns = dict(cells.c)
        self.n: sa.ColumnElement[int] = cells.c.n
        self.counts: sa.ColumnElement[bool] = cells.c.n != 0

    def dimension(self, name: str) -> sa.ColumnElement[str]:
        path: sa.ColumnElement[str] = cells.c.dimensions[name].as_string()
        return path

    def brought(self, name: str, part: str) -> sa.ColumnElement[str]:
        """Cells keep paths alone, which is what a dimension stored with its row is seen by."""
        return self.dimension(name)

    def narrowed(self, question: Question) -> list[sa.ColumnElement[bool]]:
        """Nothing: there is an index for each column that can be asked for."""
        return []


class _Facts:
    """The answers themselves, for dimensions that the cells do not keep."""

    def __init__(self, rollup: Rollup) -> None:
        self._rollup = rollup
        same = sa.and_(
            facts.c.workspace == answers.c.workspace, facts.c.response == answers.c.response
        )
        self.tables: sa.FromClause = answers.join(facts, same)
        self.columns = dict(facts.c) | dict(answers.c)
        self.n: sa.ColumnElement[int] = sa.literal(1, sa.BigInteger)
        self.counts: sa.ColumnElement[bool] = sa.true()

    def dimension(self, name: str) -> sa.ColumnElement[str]:
        kept = facts.c.derived if self._rollup.get(name) else facts.c.dimensions
        path: sa.ColumnElement[str] = kept[name]["path"].as_string()
        return path

    def brought(self, name: str, part: str) -> sa.ColumnElement[str]:
        text: sa.ColumnElement[str] = facts.c.dimensions[name, part].as_string()
        return text

    def narrowed(self, question: Question) -> list[sa.ColumnElement[bool]]:
        """Only facts of surveys in which the metric was ever counted: those there is an index for, by day."""
        metric = dict(question.columns).get("metric")
        if metric is None:
            return []
        surveys = sa.select(cells.c.survey).where(
            cells.c.workspace == facts.c.workspace, cells.c.metric == metric
        )
        return [facts.c.survey.in_(surveys)]


def _brought(rollup: Rollup) -> set[str]:
    """The dimensions that responses brought: those derived here may say otherwise than the other services see."""
    return {name for name, path in rollup.items() if path is None}


def _group(source: _Cells | _Facts, group: Grouping) -> sa.ColumnElement[Any]:
    day = source.columns["day"]
    if group.name in PERIODS:
        return {"day": day, "week": week_of(day), "month": month_of(day)}[group.name]
    if group.name in COLUMNS:
        return source.columns[group.name]
    path = sa.func.coalesce(source.dimension(group.name), "")
    if group.levels is None:
        return path
    return sa.func.coalesce(head_of(path, sa.literal(group.levels, sa.Integer)), "")


def _conditions(source: _Cells | _Facts, question: Question) -> list[sa.ColumnElement[bool]]:
    found = [source.counts]
    found += [source.columns[name] == value for name, value in question.columns]
    found += [
        _below(sa.func.coalesce(source.dimension(name), ""), value)
        for name, value in question.where
    ]
    return [*found, *source.narrowed(question), *_on_days(source.columns["day"], question)]


def _on_days(day: sa.ColumnElement[Any], question: Question) -> list[sa.ColumnElement[bool]]:
    found = []
    if question.start is not None:
        found.append(day >= question.start)
    if question.end is not None:
        found.append(day <= question.end)
    return found


def _below(path: sa.ColumnElement[str], prefix: str) -> sa.ColumnElement[bool]:
    """The value itself or a path that starts with it; without a prefix, no value."""
    return below(path, prefix.rstrip("/")) if prefix else path == ""
