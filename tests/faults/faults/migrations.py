"""Schemas that become newer while this code works on them.

Finds a build that refuses a schema that it could work on, or a way of migrating that holds everybody up.
"""

import asyncio
import random
import shutil
import tempfile
import time
from pathlib import Path

from services.cli.paths import SERVICES
from shared.db import open_database
from shared.schema import Schema, migrate
from tests.faults.distributed import Distributed
from tests.faults.faults.services import rolling_restart
from tests.faults.laboratory import after

_SECONDS = 10.0
_HOT = {"ingest": "responses", "trigger": "seen", "scoring": "facts", "alerting": "deliveries"}
_ROOT = Path(__file__).parents[3]
_REVISION = """\"\"\"Adds what nobody reads yet.\"\"\"

import sqlalchemy as sa
from alembic import op

revision = "{number:04}"
down_revision = "{before:04}"


def upgrade() -> None:
    op.add_column("{table}", sa.Column("more_{number}", sa.Text(), nullable=True))
    op.create_index("more_{number}", "{table}", ["more_{number}"])
"""


async def migrated_under_load(lab: Distributed, rng: random.Random) -> None:
    """The busiest table of each service gets a column and an index, while one service after the other is restarted."""

    async def all_of_them() -> None:
        for service in SERVICES:
            await after(rng.uniform(0.2, 1.0))
            await _further(lab, service)

    await asyncio.gather(rolling_restart(lab, rng), all_of_them())


async def _further(lab: Distributed, service: str) -> None:
    """Bring the schema of a service one revision further than it is."""
    async with lab.sql() as connection:
        revision = await connection.fetchval(f"SELECT version_num FROM {service}.alembic_version")
    with tempfile.TemporaryDirectory() as directory:
        migrations = Path(directory) / "migrations"
        shutil.copytree(_ROOT / "services" / service / "migrations", migrations)
        head = int(Schema(service, migrations).head())
        for number in range(head + 1, int(revision) + 2):
            text = _REVISION.format(number=number, before=number - 1, table=_HOT[service])
            (migrations / "versions" / f"{number:04}_more.py").write_text(text)
        began = time.monotonic()
        async with open_database(lab.database_url, service) as database:
            before, now = await migrate(database, Schema(service, migrations))
        assert (before, int(now)) == (revision, int(revision) + 1)
        took = time.monotonic() - began
        assert took < _SECONDS, f"migrating {service} took {took:.1f} s"
