"""Which part of a workspace's feedback a key may see: read from the access file, judged for a row, said in SQL."""

import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from shared.contracts.keys import IDENTIFIER_PATTERN
from shared.contracts.units import ORG, UnitTree
from shared.contracts.values import Dimension

_MAX_DIMENSIONS = 20
_MAX_VALUES = 100
"""So many alternatives stay within what SQLite takes as one condition."""
_NO_UNITS = UnitTree.of({})

TextOf = Callable[[str, Literal["value", "path"]], sa.ColumnElement[str]]
"""The column expression of a dimension's value or path in some table, by the dimension's name."""


def _text(value: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ValueError("has a control character, which no value has")
    return value


def _path(value: str) -> str:
    if not all(value.split("/")):
        raise ValueError("is no path: one slash between its parts, none at its ends, e.g. cn/east")
    return value


_Text = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_text)]
_Path = Annotated[_Text, AfterValidator(_path)]
_SomeOf = Field(min_length=1, max_length=_MAX_VALUES)


class DataScope(BaseModel):
    """Dimension -> the values that may be seen; of `org`, the paths that may be seen with all below them.

    A service looks with the `View` that it makes of it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[
        Annotated[str, Field(pattern=IDENTIFIER_PATTERN)], Annotated[list[_Text], _SomeOf]
    ] = Field(init=False)

    org: Annotated[list[_Path], _SomeOf] = []

    @model_validator(mode="after")
    def _limits_something(self) -> "DataScope":
        if not 0 < len(self.allowed) <= _MAX_DIMENSIONS:
            raise ValueError(
                f"must name 1 to {_MAX_DIMENSIONS} dimensions, e.g. {{org: [cn/east]}};"
                " leave `data` out for a key that sees everything"
            )
        return self

    @property
    def allowed(self) -> Mapping[str, Sequence[str]]:
        """What is limited, and to what; nothing at all is no limit."""
        return ({ORG: self.org} if self.org else {}) | self.__pydantic_extra__

    @property
    def limited(self) -> bool:
        return bool(self.allowed)

    @property
    def needs_units(self) -> bool:
        """Whether what is seen depends on where units stand now."""
        return bool(self.org)

    def view(self, units: UnitTree = _NO_UNITS) -> "View":
        """What is seen with the units where they stand now; without them, by the path that a row was stored with."""
        return View(self.allowed, units)


EVERYTHING = DataScope.model_construct()
"""Of a key whose entry has no `data`."""


@dataclass(frozen=True)
class View:
    """Judges rows by their dimensions: `allows` one that is at hand, `condition` those in a table; both agree.

    A row that lacks a dimension which is limited is not seen.
    """

    allowed: Mapping[str, Sequence[str]]
    units: UnitTree

    @property
    def names(self) -> Set[str]:
        """The dimensions that are limited."""
        return self.allowed.keys()

    def allows(self, dimensions: Mapping[str, Dimension]) -> bool:
        """Whether a row with these dimensions is seen."""
        return all(
            name in dimensions and self._shows(name, dimensions[name]) for name in self.allowed
        )

    def condition(self, text_of: TextOf) -> sa.ColumnElement[bool]:
        """The same for a WHERE clause, on PostgreSQL and SQLite."""
        return sa.and_(sa.true(), *(self._condition(name, text_of) for name in self.allowed))

    def _shows(self, name: str, dimension: Dimension) -> bool:
        if name != ORG:
            return dimension.path in self.allowed[name]
        known = self.units.unit(dimension.value) is not None
        return self._covers(self.units.dimension(dimension.value).path if known else dimension.path)

    def _covers(self, path: str) -> bool:
        return any(f"{path}/".startswith(f"{prefix}/") for prefix in self.allowed[ORG])

    def _condition(self, name: str, text_of: TextOf) -> sa.ColumnElement[bool]:
        path = text_of(name, "path")
        if name != ORG:
            return path.in_(self.allowed[name])
        as_stored = sa.or_(*(below(path, prefix) for prefix in self.allowed[ORG]))
        known = self.units.names()
        if not known:
            return as_stored
        value = text_of(name, "value")
        inside = [each for each in known if self._covers(self.units.dimension(each).path)]
        return sa.or_(value.in_(_texts(inside)), sa.and_(value.not_in(_texts(known)), as_stored))


def dimensions_in(column: sa.Column[Any]) -> TextOf:
    """For a column that holds `{"dimensions": {name: {"value": ..., "path": ...}}}`, as messages have it."""
    return lambda name, part: column["dimensions", name, part].as_string()


def below(path: sa.ColumnElement[str], prefix: str) -> sa.ColumnElement[bool]:
    """The path itself or one that starts with it, segment by segment; exact in case on both databases."""
    start = f"{prefix}/"
    return sa.or_(path == prefix, sa.func.substr(path, 1, len(start)) == start)


class texts_of(GenericFunction[Any]):  # noqa: N801 - an SQL function, named as one
    """The texts of a JSON list as rows with the column `value`: however many they are, one parameter."""

    inherit_cache = True


@compiles(texts_of, "postgresql")
def _texts_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"jsonb_array_elements_text(CAST({compiler.process(element.clauses, **kw)} AS JSONB))"


@compiles(texts_of, "sqlite")
def _texts_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


def _texts(texts: Collection[str]) -> sa.Select[Any]:
    listed = texts_of(sa.literal(msgspec.json.encode(sorted(texts)).decode(), sa.Text))
    return sa.select(listed.table_valued("value").c.value)
