"""What `status` and `doctor` say about answers that wait for their invitation."""

from collections.abc import Sequence

from services.ingest.store.responses import count_parked
from shared.db import Database
from shared.operations import Check, Checks


def parked_checks(database: Database) -> Checks:
    """The check of parked answers: normal for moments, a sign of a consumer that lags when they stay."""

    async def checks(workspace: str) -> Sequence[Check]:
        async with database.read() as tx:
            parked = await count_parked(tx, workspace)
        if not parked:
            return [Check("parked-responses", "ok", "0 answers wait for their invitation")]
        hint = "look at the lag on the invitations topic, and at GET /v1/responses?state=parked"
        return [
            Check("parked-responses", "warn", f"{parked} answers wait for their invitation", hint)
        ]

    return checks
