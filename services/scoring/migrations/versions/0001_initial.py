"""The first schema of scoring."""

import sqlalchemy as sa
from alembic import op

from shared.db import BigId, Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables; code of this revision is the oldest that works on them."""
    op.create_table(
        "answers",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scale", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "response", "question", "value"),
    )
    op.create_index("answers_by_metric", "answers", ["workspace", "metric", "response"])
    op.create_table(
        "cells",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("survey", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scale", sa.Text(), nullable=False),
        sa.Column("journey", sa.Text(), nullable=False),
        sa.Column("touchpoint", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("dimensions", Json, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("cells_by_kind", "cells", ["workspace", "kind", "day"])
    op.create_index("cells_by_metric", "cells", ["workspace", "metric", "day"])
    op.create_index("cells_by_survey", "cells", ["workspace", "survey", "day"])
    op.create_table(
        "dimension_names",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name"),
    )
    op.create_table(
        "facts",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("survey", sa.Text(), nullable=False),
        sa.Column("journey", sa.Text(), nullable=False),
        sa.Column("touchpoint", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text()),
        sa.Column("dimensions", Json, nullable=False),
        sa.Column("derived", Json, nullable=False),
        sa.Column("transaction_was", Json),
        sa.Column("customer_was", Json),
        sa.PrimaryKeyConstraint("workspace", "response"),
    )
    op.create_index("facts_by_survey", "facts", ["workspace", "survey", "day"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", BigId, sa.Identity(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("blocked", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "outbox_blocked",
        "outbox",
        ["topic", "key"],
        postgresql_where=sa.text("blocked IS NOT NULL"),
        sqlite_where=sa.text("blocked IS NOT NULL"),
    )
    op.create_table(
        "rollups",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("dimensions", Json, nullable=False),
        sa.PrimaryKeyConstraint("workspace"),
    )
    compatibility = op.create_table(
        "schema_compatibility", sa.Column("oldest_revision", sa.Text, nullable=False)
    )
    op.bulk_insert(compatibility, [{"oldest_revision": revision}])


def downgrade() -> None:
    """There is nothing before."""
    raise NotImplementedError("scoring has no schema before 0001")
