"""More poison in a row than any honest producer makes, so that it is not the records that are wrong.

Finds a build that drops the flood, goes on past it, stops more than its partition, or does not say that it stopped.
"""

import asyncio
import itertools
import random
import time

from shared.contracts.keys import Key
from shared.contracts.partitioner import partition_of
from shared.contracts.topics import PARTITIONS, Topic
from tests.faults.distributed import Distributed
from tests.faults.faults.records import committed, dead_letters, move_group, producing
from tests.support import eventually

_FLOOD = 150
_LIMIT = 100
_SERVICE = "trigger"
_TOPIC = Topic.EVENTS


async def flood(lab: Distributed, rng: random.Random) -> None:
    """That partition stops, says so, and is not moved past it, while all the others go on; after its operator has
    moved the group past the flood it goes on with what came behind."""
    partition = rng.randrange(PARTITIONS)
    first = await _pour(lab, partition)
    await eventually(
        lambda: _stopped(lab, partition), seconds=60, every=0.2, what="a partition stopped"
    )
    at = (await committed(lab, _SERVICE, _TOPIC)).get(partition, 0)
    assert at <= first, f"the group went on to {at}, past {first}"
    died = await dead_letters(lab, _TOPIC, _SERVICE)
    mine = [origin for origin, _ in died if origin[1] == partition and origin[2] >= first]
    assert len(mine) >= _LIMIT, f"only {len(mine)} dead letters before the partition stopped"
    lab.workload.ledger.letters[_SERVICE] += len(mine)
    await _others_go_on(lab, partition)
    (process,) = lab.processes(_SERVICE)
    await asyncio.to_thread(process.end)
    await move_group(lab, _SERVICE, _TOPIC, partition, first + _FLOOD)
    await lab.restart(process)


async def _pour(lab: Distributed, partition: int) -> int:
    """Write the flood to one partition at once; the offset of its first record."""
    key = f"{lab.workspace_name}/flood".encode()
    async with producing(lab) as producer:
        batch = producer.create_batch()
        for _ in range(_FLOOD):
            batch.append(key=key, value=b"{", timestamp=int(time.time() * 1000))
        batch.close()
        sent = await producer.send_batch(batch, lab.prefix + _TOPIC, partition=partition)
        return int((await sent).offset)


async def _others_go_on(lab: Distributed, partition: int) -> None:
    """A purchase in every other partition comes through, one in the stopped one waits, and nothing else stopped."""
    customers = dict[int, str]()
    for number in itertools.count():
        name = f"f-{lab.workload.rng.randrange(10**9)}-{number}"
        customers.setdefault(_partition_of(lab, name), name)
        if len(customers) == PARTITIONS:
            break
    held = customers.pop(partition)
    await lab.workload.buy(held)
    async with asyncio.timeout(60):
        await asyncio.gather(*map(lab.workload.probe, customers.values()))
    assert await _stopped(lab, partition), "the partition went on by itself"
    decided = await lab.workload.client.get("/v1/decisions", params={"customer": held})
    assert decided.json()["items"] == [], "what came behind the flood was decided about"


def _partition_of(lab: Distributed, customer: str) -> int:
    return partition_of(Key(lab.workspace_name, customer).encode(), PARTITIONS)


async def _stopped(lab: Distributed, partition: int) -> bool:
    """Whether this partition stopped; fails when any other did."""
    client = lab.workload.client
    loop = (await client.get(f"/v1/operations/{_SERVICE}/status")).json()["loop"]
    stopped = {(at["topic"], at["partition"]) for at in loop["stopped"]}
    assert stopped <= {(str(_TOPIC), partition)}, f"stopped: {sorted(stopped)}"
    return bool(stopped)
