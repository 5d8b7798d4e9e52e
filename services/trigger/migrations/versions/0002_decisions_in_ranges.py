"""Decisions in ranges of days on PostgreSQL; code of 0001 works on it, and leaves it to others to make the ranges.

That an event has one decision for each trigger is the word of `seen`; its index here finds them and nothing more.
"""

from alembic import op

from shared.db.conversion import cut_into_ranges

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        cut_into_ranges(connection, "decisions", "id")
        return
    op.drop_index("decisions_once", "decisions")
    op.create_index("decisions_once", "decisions", ["workspace", "event", "source", "trigger"])
