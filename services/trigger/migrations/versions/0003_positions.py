"""Positions of all topics, where there were those of the customers; code of 0002 works on it.

A database that was used before has no way to know them: it is trusted to hold what its group had committed. When a
record was appended is not asked for any more, and is still written by code of 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("positions") as positions:
        positions.alter_column("appended_at", nullable=True)
    if op.get_bind().scalar(sa.text("SELECT 1 FROM seen LIMIT 1")):
        topics = (
            "announced definitions",
            "announced invitations",
            "definitions",
            "events",
            "responses",
        )
        op.bulk_insert(
            sa.table("positions", *map(sa.column, ("topic", "partition", "next_offset"))),
            [{"topic": topic, "partition": -1, "next_offset": -1} for topic in topics],
        )
