"""Runs several real Kafka brokers as one cluster, each topic on three of them."""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from deploy.local.kafka import KafkaBroker, Member
from deploy.local.ports import free_port


@contextmanager
def kafka_cluster(brokers: int) -> Iterator[Sequence[KafkaBroker]]:
    """That many brokers, each a controller too; blocks until all of them serve. Two of three are enough to write."""
    ports = [free_port() for _ in range(brokers)]
    voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(ports, 1))
    cluster = str(uuid.uuid4())
    made = [
        KafkaBroker(member=Member(node, port, voters, cluster, replicas=min(3, brokers)))
        for node, port in enumerate(ports, 1)
    ]
    with ExitStack() as stack:
        for broker in made:
            stack.callback(broker.close)
        start_all(made)
        yield made


def start_all(brokers: Sequence[KafkaBroker]) -> None:
    """Start those that do not run at the same time: one alone has nobody to elect a controller with."""
    waiting = [broker for broker in brokers if not broker.running]
    with ThreadPoolExecutor(max(1, len(waiting))) as threads:
        list(threads.map(KafkaBroker.start, waiting))
