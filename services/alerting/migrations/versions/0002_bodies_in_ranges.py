"""Messages and attempts in ranges of days on PostgreSQL; code of 0001 works on it, and leaves it to others to make the
ranges."""

from alembic import op

from shared.db.conversion import cut_into_ranges

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        cut_into_ranges(connection, "messages", "id")
        cut_into_ranges(connection, "attempts", "delivery")
