"""How far the database holds each topic; code of the revision before works on it and leaves that to others.

A database that was used before has no way to know: it is trusted to hold what its group had committed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    positions = op.create_table(
        "positions",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    if op.get_bind().scalar(sa.text("SELECT 1 FROM definitions LIMIT 1")):
        topics = (
            "announced customers",
            "announced definitions",
            "announced responses",
            "invitations",
        )
        op.bulk_insert(
            positions, [{"topic": topic, "partition": -1, "next_offset": -1} for topic in topics]
        )


def downgrade() -> None:
    op.drop_table("positions")
