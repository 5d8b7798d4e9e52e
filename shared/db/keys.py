"""Keys as rows of a statement, so that one statement answers for many of them whatever their number."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


def key_rows(dialect: str, by: Sequence[sa.Column[Any]]) -> sa.FromClause:
    """A row for each key, whose columns `key_0`, `key_1` ... are to be compared with the columns of `by`.

    The statement that selects from it is executed with `key_values`.
    """
    if dialect == "postgresql":
        arrays = [
            sa.bindparam(f"key_{place}", type_=postgresql.ARRAY(column.type))
            for place, column in enumerate(by)
        ]
        names = (sa.column(f"key_{place}", column.type) for place, column in enumerate(by))
        return sa.func.unnest(*arrays).table_valued(*names).render_derived(name="wanted")
    each = sa.func.json_each(sa.bindparam("keys", type_=sa.Text)).table_valued("value")
    parts = (
        sa.func.json_extract(each.c.value, f"$[{place}]", type_=column.type).label(f"key_{place}")
        for place, column in enumerate(by)
    )
    return sa.select(*parts).subquery("wanted")


def key_values(dialect: str, keys: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """The parameters of a statement with `key_rows`; there must be a key."""
    if dialect == "postgresql":
        return {f"key_{place}": list(parts) for place, parts in enumerate(zip(*keys, strict=True))}
    return {"keys": json.dumps(list(keys))}
