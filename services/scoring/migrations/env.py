"""Runs the migrations of scoring on the connection that `migrate` hands over."""

from alembic import context

from services.scoring.tables import metadata
from shared.schema import run_migrations

run_migrations(context, metadata)
