"""The secrets that channels sign with; generated here, never taken from a definition."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from services.trigger.definitions import CHANNEL
from services.trigger.tables import channel_secrets, definitions
from shared.db import Tx, insert, load, now
from shared.webhook import new_secret


async def make_secrets(tx: Tx, workspace: str, channels: Sequence[str]) -> None:
    """Give each channel a secret, unless it has one. Idempotent."""
    at = await now(tx)
    rows = [
        {"workspace": workspace, "channel": channel, "secret": new_secret(), "created_at": at}
        for channel in sorted(channels)
    ]
    await insert(tx, channel_secrets, rows)


async def forget_secrets(tx: Tx, workspace: str, channels: Sequence[str]) -> None:
    """A channel that is made again under an old name must not share the old one's secret."""
    if channels:
        s = channel_secrets.c
        await tx.execute(
            sa.delete(channel_secrets).where(s.workspace == workspace, s.channel.in_(channels))
        )


async def load_secret(tx: Tx, workspace: str, channel: str) -> str | None:
    """The secret of a channel that exists."""
    s, d = channel_secrets.c, definitions.c
    there = sa.exists().where(
        d.workspace == s.workspace, d.kind == CHANNEL, d.id == s.channel, d.state != "deleted"
    )
    statement = sa.select(s.secret).where(s.workspace == workspace, s.channel == channel, there)
    found: str | None = (await tx.execute(statement)).scalar()
    return found


async def load_channels(
    tx: Tx, channels: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """URL and secret of each channel that exists, by workspace and id."""
    s, d = channel_secrets.c, definitions.c
    keys = sorted(set(channels))
    secrets = {
        (row.workspace, row.channel): row.secret
        for row in await load(tx, channel_secrets, [s.workspace, s.channel], keys)
    }
    found = await load(
        tx,
        [d.workspace, d.id, d.state, d.document],
        [d.workspace, d.kind, d.id],
        [(workspace, CHANNEL, id) for workspace, id in secrets],
    )
    return {
        (row.workspace, row.id): (row.document["url"], secrets[row.workspace, row.id])
        for row in found
        if row.state != "deleted"
    }
