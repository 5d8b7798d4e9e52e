"""Records that retention deletes before they are read.

Finds a build that goes on as if nothing had been there: a loss that nobody is told of.
"""

import asyncio
import json
import random

from shared.contracts.topics import Topic
from tests.faults.distributed import Distributed
from tests.faults.faults.records import committed, delete_before, ends, move_group, read
from tests.faults.laboratory import after
from tests.faults.ledger import Fate
from tests.support import eventually

_SERVICE = "trigger"
_TOPIC = Topic.EVENTS
_SAID = "records were deleted before they were read"


async def records_deleted(lab: Distributed, rng: random.Random) -> None:
    """The service says so and ends, and again when it is started again, until its operator has taken note and moved
    the group; of what was deleted nothing is known, of all the rest everything."""
    await (
        lab.workload.probe()
    )  # a group that has committed nothing has nothing to lose its place in
    (process,) = lab.processes(_SERVICE)
    await asyncio.to_thread(process.end)
    await eventually(lambda: _unread(lab), seconds=30, every=0.5, what="a record that is not read")
    await after(rng.uniform(0.5, 2.0))
    partition, first, cut = await _deleted(lab, rng)
    for _ in range(2):
        process.start()
        code = await asyncio.to_thread(process.wait_for_exit, 60)
        assert code == 1, f"with deleted records {_SERVICE} ended with {code}"
        words = " ".join(process.log.read_text()[-3000:].split())
        assert _SAID in words, f"{_SERVICE} said only {words}"
        assert (await committed(lab, _SERVICE, _TOPIC))[partition] == first
    await move_group(lab, _SERVICE, _TOPIC, partition, cut)
    await lab.restart(process)


async def _unread(lab: Distributed) -> dict[int, int]:
    """The partitions in which something stands unread, and the group's offset there."""
    theirs, until = await committed(lab, _SERVICE, _TOPIC), await ends(lab, _TOPIC)
    return {partition: at for partition, at in theirs.items() if at < until[partition]}


async def _deleted(lab: Distributed, rng: random.Random) -> tuple[int, int, int]:
    """Delete the first of what is unread in one partition: which, from where, up to where."""
    partition, first = rng.choice(list((await _unread(lab)).items()))
    records = await read(lab, _TOPIC, partition, first)
    gone = records[: rng.randint(1, len(records))]
    cut = gone[-1].offset + 1
    await delete_before(lab, _TOPIC, partition, cut)
    ids = {json.loads(record.value)["id"] for record in gone}
    events = lab.workload.ledger.events

    async def told() -> bool:
        return ids <= events.keys()

    await eventually(told, seconds=30, what="an answer to those who posted what was deleted")
    for id in ids:
        events[id].fate = Fate.UNKNOWN
    return partition, first, cut
