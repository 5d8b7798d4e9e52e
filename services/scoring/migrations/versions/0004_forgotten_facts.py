"""When facts changed last, and how much of a cell no fact says any longer; code of the revision before works on it as long as nothing is
forgotten. Facts that stand already count as changed now. No row is written again; who
counts, or reads facts, waits for the index."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from shared.db import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    # SQLite adds no column whose default is not a constant.
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}" if sqlite else sa.func.now()
    op.add_column("facts", sa.Column("changed_at", UtcDateTime, nullable=False, server_default=at))
    op.create_index(
        "facts_by_age",
        "facts",
        ["changed_at"],
        postgresql_where=sa.text("state = 'submitted'"),
        sqlite_where=sa.text("state = 'submitted'"),
    )
    op.add_column(
        "cells", sa.Column("forgotten", sa.BigInteger(), nullable=False, server_default="0")
    )
