"""The tables of scoring: what each response said (facts, answers) and the histograms made of it (cells)."""

import sqlalchemy as sa

from shared.db import Json, UtcDateTime
from shared.leases import lease_table
from shared.outbox import outbox_table
from shared.positions import positions_table

metadata = sa.MetaData()

outbox = outbox_table(metadata)
leases = lease_table(metadata)
positions = positions_table(metadata)

rollups = sa.Table(
    "rollups",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("dimensions", Json, nullable=False),
)
"""Which dimensions a workspace's cells keep apart: name -> path to derive it by, or null for one that responses
bring. Locked shared by whoever counts and exclusively by a rebuild."""

dimension_names = sa.Table(
    "dimension_names",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
)
"""Every dimension that a response of the workspace ever brought, so that a typing error can be told apart."""

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("response", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("survey", sa.Text, nullable=False),
    sa.Column("journey", sa.Text, nullable=False),
    sa.Column("touchpoint", sa.Text, nullable=False),
    sa.Column("customer", sa.Text),
    sa.Column("dimensions", Json, nullable=False),
    sa.Column("derived", Json, nullable=False),
    sa.Column("transaction_was", Json),
    sa.Column("customer_was", Json),
    sa.Column("changed_at", UtcDateTime, nullable=False, server_default=sa.func.now()),
    sa.Index("facts_by_survey", "workspace", "survey", "day"),
    sa.Index(
        "facts_by_age",
        "changed_at",
        postgresql_where=sa.text("state = 'submitted'"),
        sqlite_where=sa.text("state = 'submitted'"),
    ),
)
"""One row per response, as it was: `dimensions` came with it, `derived` follows from paths declared here. A deleted
response keeps its row, and with it its revision, so that a late older revision does not count again; so does a forgotten
one, which no revision changes any more, for nobody knows what it counts as."""

answers = sa.Table(
    "answers",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("response", sa.Text, primary_key=True),
    sa.Column("question", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("scale", sa.Text, nullable=False),
)
"""One row per thing counted: a number, or each option chosen and, with the value '', the one who chose. Five of them
come with a response, so that a second index would cost more than all the rest of a fact: who looks for a metric goes by
the surveys that its cells name."""

cells = sa.Table(
    "cells",
    metadata,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("survey", sa.Text, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("scale", sa.Text, nullable=False),
    sa.Column("journey", sa.Text, nullable=False),
    sa.Column("touchpoint", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("dimensions", Json, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("forgotten", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("cells_by_metric", "workspace", "metric", "day"),
    sa.Index("cells_by_survey", "workspace", "survey", "day"),
    sa.Index("cells_by_kind", "workspace", "kind", "day"),
)
"""The histograms: how often each value was given. `id` is a digest of all that the cell is keyed by, so that the key
stays short however long a dimension is; only `n` ever changes, and `forgotten`, which is how much of it no fact says any
longer; no index holds either."""
