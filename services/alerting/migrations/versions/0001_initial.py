"""The first schema of alerting."""

import sqlalchemy as sa
from alembic import op

from shared.db import BigId, Json, UtcDateTime
from shared.schema import compatibility

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table, and note that all code works on this schema."""
    op.create_table(
        "alerts",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("customer", sa.Text),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("raised_at", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
        sa.UniqueConstraint("workspace", "response", "rule", name="alerts_once"),
    )
    op.create_index("alerts_by_customer", "alerts", ["workspace", "customer", "id"])
    op.create_index("alerts_by_rule", "alerts", ["workspace", "rule", "id"])
    op.create_table(
        "attempts",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("delivery", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "delivery", "number"),
    )
    op.create_table(
        "definitions",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("active_from", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "kind", "id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("alert", sa.Text),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("spent", sa.Integer, nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False),
        sa.Column("leased_until", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("replayed_at", UtcDateTime),
        sa.Column("replayed_by", sa.Text),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("deliveries_by_alert", "deliveries", ["workspace", "alert", "id"])
    op.create_index("deliveries_by_endpoint", "deliveries", ["workspace", "endpoint", "id"])
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["workspace", "endpoint", "due_at"],
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "deliveries_failed",
        "deliveries",
        ["workspace", "id"],
        postgresql_where=sa.text("state = 'failed'"),
        sqlite_where=sa.text("state = 'failed'"),
    )
    op.create_table(
        "endpoint_secrets",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("retired_at", UtcDateTime),
        sa.PrimaryKeyConstraint("workspace", "endpoint", "number"),
    )
    op.create_table(
        "judged",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "response"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "messages",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("alert", sa.Text),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", BigId, sa.Identity(), nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("blocked", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "outbox_blocked",
        "outbox",
        ["topic", "key"],
        postgresql_where=sa.text("blocked IS NOT NULL"),
        sqlite_where=sa.text("blocked IS NOT NULL"),
    )
    op.create_table("schema_compatibility", sa.Column("oldest_revision", sa.Text, nullable=False))
    op.bulk_insert(compatibility, [{"oldest_revision": revision}])
