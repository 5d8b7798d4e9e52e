"""The first tables: definitions, customers, survey versions, invitations, responses, outbox and leases."""

import sqlalchemy as sa
from alembic import op

from shared.db import BigId, Json, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", BigId, sa.Identity(), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("blocked", sa.Text),
    )
    op.create_index(
        "outbox_blocked",
        "outbox",
        ["topic", "key"],
        postgresql_where=sa.text("blocked IS NOT NULL"),
        sqlite_where=sa.text("blocked IS NOT NULL"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", UtcDateTime, nullable=False),
    )
    op.create_table(
        "definitions",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("active_from", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
    )
    op.create_table(
        "customers",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.Column("state", sa.Text, nullable=False, server_default="erased"),
        sa.Column("attributes", Json, nullable=False, server_default="{}"),
        sa.Column("contact", Json, nullable=False, server_default="{}"),
        sa.Column("locale", sa.Text),
        sa.Column("time_zone", sa.Text),
        sa.Column("consent", Json, nullable=False, server_default="{}"),
        sa.Column("changed_at", UtcDateTime),
        sa.Column("changed_by", sa.Text),
    )
    op.create_table(
        "survey_versions",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("survey", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.Column("document", Json),
        sa.Column("stop_asked_at", UtcDateTime),
    )
    op.create_table(
        "responses",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("survey", sa.Text, nullable=False),
        sa.Column("survey_version", sa.Integer, nullable=False),
        sa.Column("invitation", sa.Text),
        sa.Column("customer", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("answers", Json, nullable=False),
        sa.Column("joined", Json, nullable=False),
        sa.Column("day", sa.Date),
        sa.Column("submitted_at", UtcDateTime, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text),
    )
    one_each = ["workspace", "invitation"]
    op.create_index("responses_one_per_invitation", "responses", one_each, unique=True)
    op.create_index("responses_newest", "responses", ["workspace", "created_at", "id"])
    op.create_index("responses_of_survey", "responses", ["workspace", "survey", "created_at"])
    op.create_index("responses_of_customer", "responses", ["workspace", "customer", "created_at"])
    op.create_index("responses_by_state", "responses", ["workspace", "state", "created_at"])
    compatibility = op.create_table(
        "schema_compatibility", sa.Column("oldest_revision", sa.Text, nullable=False)
    )
    op.bulk_insert(compatibility, [{"oldest_revision": "0001"}])
