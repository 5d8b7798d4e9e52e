"""Runs trigger's migrations on the connection that `migrate` hands over."""

from alembic import context

from services.trigger.tables import metadata
from shared.schema import run_migrations

run_migrations(context, metadata)
