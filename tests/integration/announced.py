"""What a service has announced and not published yet, as it would be read from the log."""

from typing import Any

import sqlalchemy as sa

from shared.contracts.envelope import Received, decode_message
from shared.contracts.messages import Message
from shared.db import Database
from shared.log import Record


async def announced(database: Database, kind: type[Message]) -> list[Received[Any]]:
    """The messages of a kind in the outbox, in their order."""
    async with database.read() as tx:
        rows = (await tx.execute(sa.text("SELECT topic, key, value FROM outbox ORDER BY id"))).all()
    found = [
        decode_message(Record(row.topic, 0, offset, bytes(row.key), bytes(row.value), (), 0))
        for offset, row in enumerate(rows)
    ]
    return [each for each in found if each is not None and isinstance(each.message, kind)]
