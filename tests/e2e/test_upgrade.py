"""An upgrade from the previous release, and back, under load: the laws hold, and no request fails."""

import random

import pytest

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from tests.faults.faults.upgrades import roll_back, upgrade
from tests.faults.laws import check
from tests.faults.previous import NoHistory
from tests.faults.releases import Releases, open_releases


@pytest.mark.timeout(300)
async def test_the_previous_release_is_upgraded_and_rolled_back(
    kafka_broker: KafkaBroker, postgres_server: PostgresServer
) -> None:
    rng = random.Random(20)
    try:
        async with open_releases(kafka_broker, postgres_server) as lab, lab.workspace(rng) as work:
            for step in (upgrade, roll_back):
                async with work.running():
                    await step(lab, rng)
                    await work.probe()
                await _at_rest(lab)
    except NoHistory as missing:
        pytest.skip(f"optional: {missing}")


async def _at_rest(lab: Releases) -> None:
    """What has been begun is ended, and then the laws hold and nobody was turned away."""
    await lab.workload.answer_all()
    await lab.quiet()
    seen = await lab.see()
    assert [str(violation) for violation in check(lab.workload.ledger, seen)] == []
    lab.doors.hold()
    assert lab.doors.answered > 0
