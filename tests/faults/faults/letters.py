"""Dead letters that are replayed while customers go on.

Finds a build in which a replay has its effect twice, undoes what happened meanwhile, or loses what failed.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from tests.faults.distributed import Distributed
from tests.support import eventually

_AT_ONCE = 3


async def replayed_live(lab: Distributed, rng: random.Random) -> None:
    """The databases of trigger and scoring refuse two customers; once that is mended, each letter is replayed three
    times at the same moment and once more."""
    unasked, uncounted = (f"refused-{rng.randrange(10**9)}" for _ in range(2))
    async with (
        _refusing(lab, "trigger.decisions", unasked),
        _refusing(lab, "scoring.facts", uncounted),
    ):
        await lab.workload.buy(unasked)
        await lab.workload.probe(uncounted)
        letters = [
            ("trigger", await _letter(lab, "trigger", unasked)),
            ("scoring", await _letter(lab, "scoring", uncounted)),
        ]
    for service, id in letters:
        lab.workload.ledger.letters[service] += 1
        path = f"/v1/operations/{service}/dead-letters/{quote(id, safe='')}/replay"
        client = lab.workload.client
        answers = [
            *await asyncio.gather(*(client.post(path) for _ in range(_AT_ONCE))),
            await client.post(path),
        ]
        codes = [answer.status_code for answer in answers]
        assert set(codes) <= {200, 503}, f"replays of {id} were answered {codes}"
        assert codes[-1] == 200, answers[-1].text


@asynccontextmanager
async def _refusing(lab: Distributed, table: str, customer: str) -> AsyncIterator[None]:
    """A table that takes no row of this customer."""
    async with lab.sql() as connection:
        await connection.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT refused CHECK (customer <> '{customer}') NOT VALID"
        )
        try:
            yield
        finally:
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT refused")


async def _letter(lab: Distributed, service: str, customer: str) -> str:
    """The id of the dead letter of this customer."""

    async def found() -> str | None:
        path = f"/v1/operations/{service}/dead-letters"
        items = (await lab.workload.client.get(path, params={"limit": 500})).json()["items"]
        return next((item["id"] for item in items if item["key"].endswith(f"/{customer}")), None)

    return await eventually(found, seconds=60, every=0.3, what=f"a dead letter of {service}")
