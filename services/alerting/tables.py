"""The tables of alerting; each row of a tenant starts with its workspace."""

import sqlalchemy as sa

from shared.db import Json, UtcDateTime, cut_by
from shared.definitions.store import definitions_table
from shared.leases import lease_table
from shared.outbox import outbox_table
from shared.positions import positions_table

metadata = sa.MetaData()

definitions = definitions_table(metadata)
outbox = outbox_table(metadata)
leases = lease_table(metadata)
positions = positions_table(metadata)

endpoint_secrets = sa.Table(
    "endpoint_secrets",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("retired_at", UtcDateTime),
)

judged = sa.Table(
    "judged",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("response", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
)
"""The last revision of each response that the rules have seen, matching or not; also what a batch locks."""

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
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
    sa.UniqueConstraint("workspace", "response", "rule", name="alerts_once"),
    sa.Index("alerts_by_rule", "workspace", "rule", "id"),
    sa.Index("alerts_by_customer", "workspace", "customer", "id"),
)

past_alerts = sa.Table(
    "past_alerts",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("response", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("raised_at", UtcDateTime, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
)
"""What is left of an alert that was let go of: what it was and what was last announced of it, so that a late revision of
its response goes on from there and never raises it as another one. An alert that came back by that stands in both."""

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("alert", sa.Text),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("traceparent", sa.Text),
    info=cut_by("id"),
)
"""What is sent, rendered once: the same webhook-id always comes with the same bytes."""

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
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
    sa.Index(
        "deliveries_due",
        "workspace",
        "endpoint",
        "due_at",
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    ),
    sa.Index(
        "deliveries_failed",
        "workspace",
        "id",
        postgresql_where=sa.text("state = 'failed'"),
        sqlite_where=sa.text("state = 'failed'"),
    ),
    sa.Index("deliveries_by_endpoint", "workspace", "endpoint", "id"),
    sa.Index("deliveries_by_alert", "workspace", "alert", "id"),
)
"""One per message and endpoint. `attempts` counts all that were made, `spent` those of the present schedule."""

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("delivery", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    info=cut_by("delivery"),
)
