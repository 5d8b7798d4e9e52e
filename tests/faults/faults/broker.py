"""Faults of the brokers: killed, hung, one of several killed, all of them, cut off from half of the replicas.

Finds a build that takes an event before it is safe, or that does not find its way back to a broker by itself.
"""

import asyncio
import random

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.kafka_cluster import start_all
from tests.faults.distributed import SESSION_SECONDS, Distributed, Fault
from tests.faults.laboratory import after
from tests.support import eventually

_GOES_ON_SECONDS = 60.0


async def broker_killed(lab: Distributed, rng: random.Random) -> None:
    await asyncio.to_thread(lab.broker.kill)
    await after(rng.uniform(0.5, 5.0))
    await asyncio.to_thread(lab.broker.start)


def broker_frozen(seconds: float) -> Fault:
    """The broker hangs: nothing is answered and no connection breaks."""

    async def fault(lab: Distributed, rng: random.Random) -> None:
        lab.broker.freeze()
        try:
            await after(seconds)
        finally:
            lab.broker.thaw()

    return fault


async def each_broker_killed(lab: Distributed, rng: random.Random) -> None:
    """One of three after the other, so also whoever leads a partition or looks after a group; with two left everything
    goes on. The next one goes when the last has caught up."""
    for broker in rng.sample(lab.brokers, len(lab.brokers)):
        await asyncio.to_thread(broker.kill)
        try:
            async with asyncio.timeout(_GOES_ON_SECONDS):
                await lab.workload.probe()
        except TimeoutError:
            raise AssertionError(
                "with two of three brokers a purchase did not come through"
            ) from None
        await asyncio.to_thread(broker.start)
        await eventually(lambda: _in_sync(lab), seconds=60, every=0.5, what="all replicas in sync")


def all_brokers_killed(seconds: float) -> Fault:
    """The whole cluster is gone for so long."""

    async def fault(lab: Distributed, rng: random.Random) -> None:
        await asyncio.gather(*(asyncio.to_thread(broker.kill) for broker in lab.brokers))
        await after(seconds)
        await asyncio.to_thread(start_all, lab.brokers)

    return fault


async def half_cut_off(lab: Distributed, rng: random.Random) -> None:
    """One replica of each service does not reach the broker for longer than its session: the other takes over, and
    the first comes back with what it had at hand."""
    proxy = lab.side_door
    assert proxy is not None
    proxy.pause()
    try:
        await after(SESSION_SECONDS + rng.uniform(1.0, 6.0))
        proxy.cut_all()
    finally:
        proxy.resume()


async def _in_sync(lab: Distributed) -> bool:
    """Whether each partition stands on all of its brokers again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.bootstrap)
    try:
        await admin.start()
        topics = await admin.describe_topics()
    except KafkaError:
        return False
    finally:
        await admin.close()
    partitions = [partition for topic in topics for partition in topic["partitions"]]
    return all(len(p["isr"]) == len(p["replicas"]) for p in partitions)
