"""Records that can never be read, put on our own topics past our services.

Finds a build in which one ends the loop, is passed over without a letter, or has a letter that does not say where it
came from.
"""

import random

from shared.contracts.topics import READERS, Topic
from tests.faults.distributed import Distributed
from tests.faults.faults.records import Origin, dead_letters, producing, send
from tests.support import eventually

_UNREADABLE: tuple[bytes, ...] = (
    b"\xff\xfe{}",
    bytes(64),
    b'{"specversion": "1.0", "id": "cut',
    b"x" * 1_000_000,
    b'{"specversion": "1.0", "id": "n", "source": "/s", "type": "t", "data": {"x": NaN}}',
)
_SKIPPED = b"""{"specversion": "1.0", "id": "u", "source": "/s", "type": "afterword.unheard.of",
"subject": "s", "time": "2026-01-01T00:00:00Z", "schemaversion": "1.0", "data": {}}"""


async def poison(lab: Distributed, rng: random.Random) -> None:
    """Each kind once on events and on responses: a dead letter with its origin and reason for every reader, nothing
    else held up. What has a type that is not known yet, or no value where that is allowed, is passed over."""
    key = f"{lab.workspace_name}/c-{rng.randrange(1000)}".encode()
    letters = lab.workload.ledger.letters
    async with producing(lab) as producer:
        for topic in (Topic.EVENTS, Topic.RESPONSES):
            sent = [await send(producer, lab, topic, key, value) for value in _UNREADABLE]
            if topic is Topic.EVENTS:
                sent.append(await send(producer, lab, topic, key, None))
            else:
                await send(producer, lab, topic, key, _SKIPPED)
                await send(producer, lab, topic, key, None)
            keyless = await send(producer, lab, topic, None, b"{}")
            for service in _readers(topic):
                letters[service] += len(sent)
                await _died(lab, topic, service, {*sent, keyless})


def _readers(topic: Topic) -> list[str]:
    return [service for service, topics in READERS.items() if topic in topics]


async def _died(lab: Distributed, topic: str, service: str, wanted: set[Origin]) -> None:
    async def all_there() -> bool:
        found = await dead_letters(lab, topic, service)
        return wanted <= {origin for origin, reason in found if reason}

    await eventually(all_there, seconds=60, every=0.5, what=f"{len(wanted)} letters of {service}")
