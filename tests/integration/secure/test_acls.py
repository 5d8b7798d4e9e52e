"""Services under the ACLs that k8s/components/strimzi gives their users: each can do all that it must, and nothing more."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from services.cli import strimzi
from services.cli.paths import SERVICES
from shared.contracts.topics import Topic, topic_specs, topics_read
from shared.errors import Unavailable
from shared.log import Log, Outgoing, Producer, TopicPartition
from shared.log.opening import open_log
from tests.e2e.receiver import open_receiver
from tests.e2e.scenario import decisions, define, invitations, post_event, purchase, score_of
from tests.e2e.system import Client, Process, System, distributed
from tests.integration.secure.conftest import PASSWORD, SecuredKafka
from tests.integration.secure.granting import grant
from tests.support import eventually

INLET = "acme-in"
TOPICS = [str(spec.name) for spec in topic_specs([INLET])]


@dataclass(frozen=True)
class Granted:
    """A broker whose topics of one prefix are there, and whose users have been granted what Strimzi's would be."""

    kafka: SecuredKafka
    prefix: str

    def url(self, *, send_timeout: float = 10) -> str:
        return f"kafka+ssl://127.0.0.1:{self.kafka.by_password}?prefix={self.prefix}&send_timeout={send_timeout}"

    @property
    def everything(self) -> str:
        """Through the door without a lock, as a superuser."""
        return f"kafka://127.0.0.1:{self.kafka.plain}?prefix={self.prefix}"


@pytest.fixture
async def granted(secured_kafka: SecuredKafka) -> Granted:
    made = Granted(secured_kafka, f"acl{uuid4().hex[:8]}.")
    async with open_log(made.everything) as log:
        await log.create_topics(topic_specs([INLET]))
    bootstrap = f"127.0.0.1:{secured_kafka.plain}"
    await grant(bootstrap, made.prefix, strimzi.grants([INLET]))
    return made


@pytest.fixture
async def system(granted: Granted, postgres_url: str, tmp_path: Path) -> AsyncIterator[System]:
    """The migration has run as its user, and each service logs in as itself."""
    made = distributed(
        tmp_path,
        log_url=granted.url(),
        database_url=postgres_url,
        workspaces={"acme": {"inlets": [INLET]}},
        settings={
            "AFTERWORD_KAFKA_USERNAME": strimzi.MIGRATION,
            "AFTERWORD_KAFKA_PASSWORD": PASSWORD,
            "AFTERWORD_KAFKA_CA_FILE": str(granted.kafka.ca),
        },
    )
    for name in SERVICES:
        made.processes[name].environment |= {"AFTERWORD_KAFKA_USERNAME": name}
    yield made
    made.end()


async def test_an_event_goes_all_the_way_and_poison_to_the_dead_letters(
    system: System, granted: Granted, tmp_path: Path
) -> None:
    verifying = Process("", ["topics", "verify"], system.environment, tmp_path / "verify.log")
    verifying.start()
    assert verifying.wait_for_exit() == 0, verifying.log.read_text()
    with system.running():
        async with system.client() as client, open_receiver() as receiver:
            endpoint = {"url": receiver.url, "types": ["alert.*"]}
            await define(client, **{"/v1/endpoints/crm": endpoint})
            told = await client.put("/v1/customers/c1", json={"attributes": {"tier": "gold"}})
            assert told.status_code == 201
            event = purchase(1, "c1")
            assert (await post_event(client, event)).status_code == 202
            [invitation] = await invitations(client, event)
            answer = await client.post(invitation["link"], data={"recommend": "3", "comment": "x"})
            assert answer.status_code == 303, answer.text
            assert (await score_of(client, 1))["value"] == -100.0

            async def delivered() -> bool:
                return bool(receiver.requests)

            await eventually(delivered, what="the alert")
            async with open_log(granted.everything) as log, log.producer() as producer:
                sent = purchase(2, "c2")
                await producer.send([Outgoing(INLET, b"any", json.dumps(sent).encode())])
                assert (await decisions(client, sent))[0]["outcome"] == "invited"
                for name in SERVICES:
                    for topic in topics_read(name, [INLET]):
                        await producer.send([Outgoing(topic, b"acme/c1", b"{not json")])
            for name in SERVICES:
                await poisoned(client, name)
    for process in system.processes.values():
        assert "uthorization" not in process.log.read_text(), process.log


async def poisoned(client: Client, service: str) -> None:
    """Every topic that a service reads has left it a dead letter, which it can read itself."""
    expected = set(topics_read(service, [INLET]))

    async def left() -> bool:
        answer = await client.get(f"/v1/operations/{service}/dead-letters")
        return {each["topic"] for each in answer.json()["items"]} >= expected

    await eventually(left, seconds=30, what=f"the dead letters of {service}")


@pytest.mark.parametrize("user", [*SERVICES, strimzi.MIGRATION])
async def test_nobody_writes_to_what_is_not_his(granted: Granted, user: str) -> None:
    may = strimzi.grants([INLET])[user]
    his = {name for (kind, name), can in may.items() if kind == "topic" and "Write" in can}
    others = [topic for topic in TOPICS if topic not in his]
    assert Topic.EVENTS in others or user == "ingest"
    login = granted.kafka.password_login(user=user)
    async with open_log(granted.url(send_timeout=1), login) as log, log.producer() as producer:
        for topic in sorted(his):
            await producer.send([Outgoing(topic, b"acme/c1", b"{}")])
        await asyncio.gather(*(refused(producer, topic) for topic in others))
    async with open_log(granted.everything) as log:
        written = [topic for topic in TOPICS if await records_of(log, topic)]
    assert sorted(written) == sorted(his)


async def refused(producer: Producer, topic: str) -> None:
    with pytest.raises(Unavailable):
        await producer.send([Outgoing(topic, b"acme/c1", b"{}")])


async def records_of(log: Log, topic: str) -> int:
    """How many records a topic has, up to ten in each partition."""
    (spec,) = (each for each in topic_specs([INLET]) if each.name == topic)
    found = 0
    for partition in range(spec.partitions):
        at = TopicPartition(topic, partition)
        found += len(await log.read(at, 0, max_records=10))
    return found
