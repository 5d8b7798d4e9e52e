"""The tables of the ingest service; the workspace is the first column of every key."""

import sqlalchemy as sa

from shared.db import Json, UtcDateTime
from shared.definitions.store import definitions_table
from shared.leases import lease_table
from shared.outbox import outbox_table
from shared.positions import positions_table

metadata = sa.MetaData()

outbox = outbox_table(metadata)
leases = lease_table(metadata)
positions = positions_table(metadata)
definitions = definitions_table(metadata)

customers = sa.Table(
    "customers",
    metadata,
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
"""Revision 0, erased, is a row that only holds the lock of a customer about to be written."""

survey_versions = sa.Table(
    "survey_versions",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("survey", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("document", Json, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
)
"""Every version that was ever put, deleted surveys included: answers name the version they were given to."""

invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
    sa.Column("document", Json),
    sa.Column("stop_asked_at", UtcDateTime),
)
"""Copies. Revision 0, without a document, holds the lock of one that is not here yet, and a stop that waits for it."""

past_invitations = sa.Table(
    "past_invitations",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("customer", sa.Text, nullable=False),
)
"""What is left of a copy that was let go of: that there was one, and who is meant when its link says stop."""

responses = sa.Table(
    "responses",
    metadata,
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
    sa.Index("responses_one_per_invitation", "workspace", "invitation", unique=True),
    sa.Index("responses_newest", "workspace", "created_at", "id"),
    sa.Index("responses_of_survey", "workspace", "survey", "created_at"),
    sa.Index("responses_of_customer", "workspace", "customer", "created_at"),
    sa.Index("responses_by_state", "workspace", "state", "created_at"),
)
"""A `forgotten` response has no answers and nothing it was joined with any longer: its keys say that it was given."""
