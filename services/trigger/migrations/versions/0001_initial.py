"""The tables of trigger."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.db import BigId, Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cancellations",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("transaction_key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("arrived_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "trigger", "transaction_key"),
    )
    op.create_table(
        "channel_secrets",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "channel"),
    )
    op.create_table(
        "contacts",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("last_invited_at", UtcDateTime(), nullable=True),
        sa.Column("last_invitation", sa.Text(), nullable=True),
        sa.Column("clock_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("workspace", "customer"),
    )
    op.create_table(
        "customers",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_table(
        "decisions",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("transaction_key", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.Column("arrived_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.Column("trace", Json, nullable=False),
        sa.Column("snapshot", Json, nullable=True),
        sa.Column("invitation", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index(
        "decisions_by_customer", "decisions", ["workspace", "customer", "id"], unique=False
    )
    op.create_index(
        "decisions_by_outcome",
        "decisions",
        ["workspace", "outcome", "id"],
        unique=False,
        **_where("outcome <> 'suppressed'"),
    )
    op.create_index(
        "decisions_by_trigger", "decisions", ["workspace", "trigger", "id"], unique=False
    )
    op.create_index(
        "decisions_due", "decisions", ["due_at"], unique=False, **_where("outcome = 'pending'")
    )
    op.create_index(
        "decisions_held",
        "decisions",
        ["workspace", "trigger"],
        unique=False,
        **_where("outcome = 'pending' AND due_at IS NULL"),
    )
    op.create_index(
        "decisions_once", "decisions", ["workspace", "event", "source", "trigger"], unique=True
    )
    op.create_table(
        "definition_copies",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "kind", "id"),
    )
    op.create_table(
        "definitions",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("active_from", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "kind", "id"),
    )
    op.create_table(
        "freshness",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("read_up_to", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("topic"),
    )
    op.create_table(
        "holds",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("transaction_key", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "trigger", "transaction_key"),
    )
    op.create_table(
        "invitations",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("contact", Json, nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("send_at", UtcDateTime(), nullable=True),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index(
        "invitations_by_customer", "invitations", ["workspace", "customer", "id"], unique=False
    )
    op.create_index(
        "invitations_by_event", "invitations", ["workspace", "event", "source"], unique=False
    )
    op.create_index(
        "invitations_by_state", "invitations", ["workspace", "state", "id"], unique=False
    )
    op.create_index(
        "invitations_by_trigger", "invitations", ["workspace", "trigger", "id"], unique=False
    )
    op.create_index(
        "invitations_expiring",
        "invitations",
        ["expires_at"],
        unique=False,
        **_where("state IN ('made', 'sending', 'sent', 'failed', 'uncertain')"),
    )
    op.create_index(
        "invitations_to_send",
        "invitations",
        ["send_at"],
        unique=False,
        **_where("send_at IS NOT NULL"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", BigId, sa.Identity(always=False), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("blocked", sa.Text(), nullable=True),
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
        "positions",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("appended_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "seen",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("claimed", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("arrived_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "event", "source"),
    )
    op.create_index("seen_by_age", "seen", ["arrived_at"], unique=False)
    op.create_index(
        "seen_by_customer",
        "seen",
        ["workspace", "customer", "id"],
        unique=False,
        **_where("outcome IS NOT NULL"),
    )
    op.create_index(
        "seen_by_id",
        "seen",
        ["workspace", "id"],
        unique=False,
        postgresql_where=sa.text("outcome IS NOT NULL"),
        sqlite_where=sa.text("outcome IS NOT NULL"),
    )
    op.create_index(
        "seen_given_up",
        "seen",
        ["workspace", "id"],
        unique=False,
        postgresql_where=sa.text("outcome = 'dead_lettered'"),
        sqlite_where=sa.text("outcome = 'dead_lettered'"),
    )

    compatibility = op.create_table(
        "schema_compatibility", sa.Column("oldest_revision", sa.Text(), nullable=False)
    )
    op.bulk_insert(compatibility, [{"oldest_revision": "0001"}])


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}
