"""A view says the same about rows in a table as about rows at hand, on both databases."""

from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from shared.contracts.units import UnitTree
from shared.contracts.values import Dimension
from shared.data_scope import EVERYTHING, DataScope, dimensions_in
from shared.db import Json, insert
from tests.integration.shared.probe import open_probe

metadata = sa.MetaData()
rows = sa.Table(
    "rows",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("document", Json, nullable=False),
)
UNITS = UnitTree.of(
    {
        "cn": {},
        "east": {"parent": "cn"},
        "s12": {"parent": "east", "aliases": ["S'12", "十二"]},
        "s13": {"parent": "cn"},
    }
)
PATHS = (
    "cn",
    "cn/east",
    "cn/east/s12",
    "cn/eastern/s12",
    "CN/EAST/s12",
    "中国/华东/店",
    "a%/_",
    "",
)
VALUES = ("s12", "S'12", "十二", "s13", "s99")
BRANDS = (None, "acme", "Acme", "acme/pro", "it's", "中")
SCOPES: list[dict[str, Any]] = [
    {"org": ["cn/east"]},
    {"org": ["cn/eas", "CN"]},
    {"org": ["中国/华东", "a%"]},
    {"org": ["cn/east/s12"]},
    {"brand": ["acme", "it's"]},
    {"brand": ["中"], "org": ["cn"]},
    {"brand.x-y": ["acme"]},
]


def every_row() -> dict[str, dict[str, Dimension]]:
    """Rows with and without each dimension, by id."""
    placed = [
        {"org": Dimension(value=value, path=path)} for value, path in product(VALUES, PATHS)
    ] + [{}]
    found = {}
    for number, (org, brand) in enumerate(product(placed, BRANDS)):
        more = {} if brand is None else {"brand": Dimension(value=brand, path=brand)}
        found[f"r{number}"] = org | more
    return found


@pytest.mark.parametrize("units", [UnitTree.of({}), UNITS], ids=["as stored", "as they stand now"])
async def test_the_condition_and_the_judgement_agree(
    empty_database_url: str, units: UnitTree
) -> None:
    stored = every_row()
    documents = [
        {
            "workspace": "acme",
            "id": id,
            "document": {"dimensions": {n: d.model_dump() for n, d in dimensions.items()}},
        }
        for id, dimensions in stored.items()
    ]
    documents.append({"workspace": "acme", "id": "none", "document": {}})
    async with open_probe(empty_database_url, metadata) as database:
        async with database.begin() as tx:
            await insert(tx, rows, documents)
        async with database.read() as tx:
            for scope in [EVERYTHING, *map(DataScope.model_validate, SCOPES)]:
                view = scope.view(units)
                seen = sa.select(rows.c.id).where(view.condition(dimensions_in(rows.c.document)))
                expected = {id for id, dimensions in stored.items() if view.allows(dimensions)}
                expected |= set() if scope.limited else {"none"}
                assert set((await tx.execute(seen)).scalars()) == expected, scope
                assert scope is EVERYTHING or len(expected) < len(stored)
