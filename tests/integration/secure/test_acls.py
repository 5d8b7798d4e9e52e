"""Under the ACLs that k8s/components/strimzi gives them, no user does more than his own, whatever he tries."""

import asyncio
from functools import partial

import pytest

from services.cli import strimzi
from services.cli.paths import SERVICES
from shared.contracts.topics import Topic, topic_specs, topics_read
from shared.errors import Unavailable
from shared.log import Log, Outgoing, Producer, TopicPartition
from shared.log.opening import open_log
from tests.integration.secure.conftest import SecuredKafka
from tests.integration.secure.granting import INLET, Granted
from tests.support import eventually

TOPICS = [str(spec.name) for spec in topic_specs([INLET])]
USERS = [*SERVICES, strimzi.MIGRATION]


@pytest.mark.parametrize("user", USERS)
async def test_nobody_writes_to_what_is_not_his(
    secured_kafka: SecuredKafka, granted: Granted, user: str
) -> None:
    his = may(user, "Write")
    others = [topic for topic in TOPICS if topic not in his]
    assert Topic.EVENTS in others or user == "ingest"
    login = secured_kafka.password_login(user=user)
    async with open_log(granted.url(), login) as log, log.producer() as producer:
        for topic in sorted(his):
            await producer.send([to(topic)])
    async with open_log(granted.url(send_timeout=1), login) as log, log.producer() as producer:
        await asyncio.gather(*(refused(producer, topic) for topic in others))
    async with open_log(granted.everything) as log:
        written = [topic for topic in TOPICS if await records_of(log, topic)]
    assert sorted(written) == sorted(his)


@pytest.mark.parametrize("user", USERS)
async def test_nobody_reads_what_is_not_his(
    secured_kafka: SecuredKafka, granted: Granted, user: str
) -> None:
    async with open_log(granted.everything) as log, log.producer() as producer:
        sent = await producer.send([to(topic) for topic in TOPICS])
    his = may(user, "Read")
    login = secured_kafka.password_login(user=user)
    for at in sent:
        async with open_log(granted.url(), login) as log:
            if at.topic in his:
                assert await log.read(at, 0, max_records=1)
                continue
            reading = asyncio.create_task(log.read(at, 0, max_records=1))
            await until_denied(secured_kafka, granted, user, at.topic)
            reading.cancel()
            assert isinstance(*await asyncio.gather(reading, return_exceptions=True), BaseException)


@pytest.mark.parametrize("user", USERS)
async def test_nobody_looks_at_the_offsets_of_another(
    secured_kafka: SecuredKafka, granted: Granted, user: str
) -> None:
    login = secured_kafka.password_login(user=user)
    topics = topics_read(user, [INLET]) if user in SERVICES else [Topic.RESPONSES]
    async with open_log(granted.url(), login) as log:

        async def answer(group: str) -> str | None:
            try:
                return str(len(await log.lag(group, topics)))
            except Unavailable as error:  # groups have no coordinator until the first is asked for
                return None if "CoordinatorNotAvailable" in str(error) else str(error)

        for group in SERVICES:
            said = await eventually(partial(answer, group), what="a coordinator")
            assert ("GroupAuthorizationFailed" in said) == (group != user), said


def may(user: str, operation: str) -> set[str]:
    """The topics with which a user may do that."""
    granted = strimzi.grants([INLET])[user]
    return {
        str(name) for (kind, name), can in granted.items() if kind == "topic" and operation in can
    }


def to(topic: str) -> Outgoing:
    return Outgoing(topic, b"acme/c1", b"{}")


async def refused(producer: Producer, topic: str) -> None:
    with pytest.raises(Unavailable):
        await producer.send([to(topic)])


async def until_denied(
    secured_kafka: SecuredKafka, granted: Granted, user: str, topic: str
) -> None:
    """Wait until the broker says that it did not let the user at the topic."""

    async def denied() -> bool:
        return any(
            (one.user, one.name, one.allowed) == (user, topic, False)
            for one in secured_kafka.asked(granted.prefix)
        )

    await eventually(denied, what=f"that {user} may not read {topic}")


async def records_of(log: Log, topic: str) -> int:
    """How many records a topic has, up to ten in each partition."""
    (spec,) = (each for each in topic_specs([INLET]) if each.name == topic)
    found = 0
    for partition in range(spec.partitions):
        at = TopicPartition(topic, partition)
        found += len(await log.read(at, 0, max_records=10))
    return found
