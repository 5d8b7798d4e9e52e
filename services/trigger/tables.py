"""The tables of trigger; each row of a tenant starts with its workspace."""

import sqlalchemy as sa

from shared.db import Json, UtcDateTime, cut_by
from shared.definitions.store import copies_table, definitions_table
from shared.leases import lease_table
from shared.outbox import outbox_table
from shared.positions import positions_table

metadata = sa.MetaData()

definitions = definitions_table(metadata)
definition_copies = copies_table(metadata)
outbox = outbox_table(metadata)
leases = lease_table(metadata)
positions = positions_table(metadata, sa.Column("appended_at", UtcDateTime))

channel_secrets = sa.Table(
    "channel_secrets",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("document", Json, nullable=False),
)
"""Our copy of the customers: the whole state as ingest announced it, contact and consent included."""

freshness = sa.Table(
    "freshness",
    metadata,
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column("read_up_to", UtcDateTime, nullable=False),
)
"""The moment up to which everything appended to a topic stands in this database: of the customers looked at again and
again, of our own invitations noted when they had to be restored."""

seen = sa.Table(
    "seen",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("claimed", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("arrived_at", UtcDateTime, nullable=False),
    sa.Index("seen_by_age", "arrived_at"),
    sa.Index(
        "seen_by_id",
        "workspace",
        "id",
        postgresql_where=sa.text("outcome IS NOT NULL"),
        sqlite_where=sa.text("outcome IS NOT NULL"),
    ),
    sa.Index(
        "seen_given_up",
        "workspace",
        "id",
        postgresql_where=sa.text("outcome = 'dead_lettered'"),
        sqlite_where=sa.text("outcome = 'dead_lettered'"),
    ),
    sa.Index(
        "seen_by_customer",
        "workspace",
        "customer",
        "id",
        postgresql_where=sa.text("outcome IS NOT NULL"),
        sqlite_where=sa.text("outcome IS NOT NULL"),
    ),
)
"""One narrow row per event, for 40 days. Where no trigger listens (`no_trigger`) or the event was given up
(`dead_lettered`), the row is itself the decision; else `outcome` is null and `decisions` has one per trigger.
A row that was given up is claimed anew (`claimed` 0 -> 1) when its dead letter is replayed."""

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("transaction_key", sa.Text),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("event_time", UtcDateTime, nullable=False),
    sa.Column("arrived_at", UtcDateTime, nullable=False),
    sa.Column("decided_at", UtcDateTime, nullable=False),
    sa.Column("trace", Json, nullable=False),
    sa.Column("snapshot", Json),
    sa.Column("invitation", sa.Text),
    sa.Column("traceparent", sa.Text),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("leased_until", UtcDateTime),
    sa.Index("decisions_once", "workspace", "event", "source", "trigger"),
    sa.Index("decisions_by_customer", "workspace", "customer", "id"),
    sa.Index("decisions_by_trigger", "workspace", "trigger", "id"),
    sa.Index(
        "decisions_by_outcome",
        "workspace",
        "outcome",
        "id",
        postgresql_where=sa.text("outcome <> 'suppressed'"),
        sqlite_where=sa.text("outcome <> 'suppressed'"),
    ),
    sa.Index(
        "decisions_held",
        "workspace",
        "trigger",
        postgresql_where=sa.text("outcome = 'pending' AND due_at IS NULL"),
        sqlite_where=sa.text("outcome = 'pending' AND due_at IS NULL"),
    ),
    sa.Index(
        "decisions_due",
        "due_at",
        postgresql_where=sa.text("outcome = 'pending'"),
        sqlite_where=sa.text("outcome = 'pending'"),
    ),
    info=cut_by("id"),
)
"""One row per event and trigger: the claim in `seen` sees to that. `snapshot` (the transaction, the customer and the
dimensions as they were) is kept where there is, or may yet be, an invitation."""

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("trigger", sa.Text, primary_key=True),
    sa.Column("transaction_key", sa.Text, primary_key=True),
    sa.Column("decision", sa.Text, nullable=False),
)
"""Which pending or invited decision has the transaction: the database's own word for one transaction, one
invitation."""

cancellations = sa.Table(
    "cancellations",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("trigger", sa.Text, primary_key=True),
    sa.Column("transaction_key", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("arrived_at", UtcDateTime, nullable=False),
)
"""Transactions that were cancelled, kept for events that come later than their cancellation."""

contacts = sa.Table(
    "contacts",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("last_invited_at", UtcDateTime),
    sa.Column("last_invitation", sa.Text),
    sa.Column("clock_at", UtcDateTime),
)
"""The contact clocks of a customer; the row is the lock under which its decisions are made. `clock_at` is the
furthest event time seen, in workspaces whose clock is the events'."""

invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("document", Json, nullable=False),
    sa.Column("contact", Json, nullable=False),
    sa.Column("made_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("send_at", UtcDateTime),
    sa.Column("leased_until", UtcDateTime),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text),
    sa.Index("invitations_by_event", "workspace", "event", "source"),
    sa.Index("invitations_by_customer", "workspace", "customer", "id"),
    sa.Index("invitations_by_trigger", "workspace", "trigger", "id"),
    sa.Index("invitations_by_state", "workspace", "state", "id"),
    sa.Index(
        "invitations_expiring",
        "expires_at",
        postgresql_where=sa.text("state IN ('made', 'sending', 'sent', 'failed', 'uncertain')"),
        sqlite_where=sa.text("state IN ('made', 'sending', 'sent', 'failed', 'uncertain')"),
    ),
    sa.Index(
        "invitations_to_send",
        "send_at",
        postgresql_where=sa.text("send_at IS NOT NULL"),
        sqlite_where=sa.text("send_at IS NOT NULL"),
    ),
)
"""What was asked, of whom, about what. `document` is what is announced; `contact` is never announced."""
