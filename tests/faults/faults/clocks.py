"""Replicas whose clocks are twenty minutes apart.

Finds a build in which a link, a lease, a schedule or a signature goes by the clock of a process instead of the
database's.
"""

import random

from services.cli.paths import SERVICES
from tests.e2e.scenario import DEFINITIONS
from tests.faults.distributed import Distributed
from tests.faults.faults.services import kill
from tests.faults.laboratory import after

_EXPIRED = 410
_TRIGGER = "/v1/triggers/after-purchase"
_SOON = "5m"


async def clocks_apart(lab: Distributed, rng: random.Random) -> None:
    """Links live for five minutes only, and leases go from one clock to the other when replicas are killed; nobody is
    told that a link has expired."""
    client = lab.workload.client
    trigger = DEFINITIONS[_TRIGGER] | {"expires": _SOON}
    answer = await client.put(_TRIGGER, json=trigger)
    assert answer.is_success, answer.text
    for service in rng.sample(SERVICES, 2):
        await after(rng.uniform(0.5, 1.5))
        await kill(lab, rng.choice(lab.processes(service)))
    await after(2.0)
    expired = lab.workload.ledger.statuses[_EXPIRED]
    assert not expired, f"{expired} answers were turned away before their link expired"
