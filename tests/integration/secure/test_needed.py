"""A whole journey under the ACLs that k8s/components/strimzi gives each user: nothing is denied, and nothing is granted
that nobody needs. The broker's authorizer says what was asked for."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.local.postgres import PostgresServer
from services.cli import strimzi
from services.cli.paths import SERVICES
from shared.contracts.topics import SAID_AGAIN, topics_read
from shared.log import Outgoing
from shared.log.opening import open_log
from tests.e2e.receiver import open_receiver
from tests.e2e.scenario import (
    DEFINITIONS,
    decisions,
    define,
    invitations,
    post_event,
    purchase,
    score_of,
)
from tests.e2e.system import Client, Process, System
from tests.integration.secure.conftest import SecuredKafka
from tests.integration.secure.granting import INLET, Granted
from tests.support import eventually

pytestmark = pytest.mark.timeout(300)
CHANGES: dict[str, dict[str, Any]] = {
    "/v1/surveys/purchase-nps": {"title": {"en": "The purchase", "zh": "购买"}},
    "/v1/triggers/after-purchase": {"expires": "10d"},
    "/v1/alert-rules/unhappy": {"when": {"path": "answers.recommend", "lte": 5}},
}
"""A definition of each service that has any, announced once more after the backup."""
MOMENT = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


async def test_each_user_is_granted_what_he_asks_for_and_nothing_beside(
    each_as_itself: System,
    secured_kafka: SecuredKafka,
    granted: Granted,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> None:
    system = each_as_itself
    ended_well(command(system, strimzi.MIGRATION, tmp_path, "topics", "verify"))
    with system.running():
        async with system.client() as client:
            await define(client)
            await until_quiet(client)
    backup = postgres_server.create_database(template=database_of(system))
    with system.running():
        async with system.client() as client:
            await journey(client)
            await from_an_inlet(client, granted)
            await poison(client, granted)
            await until_quiet(client)
    for name in SERVICES:
        ended_well(command(system, name, tmp_path, "topics", "rewind", name, "--to", MOMENT))
    for process in system.processes.values():
        process.environment["AFTERWORD_DATABASE_URL"] = backup
    with system.running():
        async with system.client() as client:
            await score_of(client, 1)
            for name in SERVICES:
                status = (await client.get(f"/v1/operations/{name}/status")).json()
                assert status["log"]["lag"].keys() == set(topics_read(name, [INLET])), status
    for name, topics in SAID_AGAIN.items():
        restored = told(system.processes[name], "database_was_older")
        assert {each["topic"] for each in restored if "restored" in each} == set(topics)

    found = secured_kafka.asked(granted.prefix)
    assert [each for each in found if not each.allowed] == []
    for user, grants in strimzi.grants([INLET]).items():
        needed = {(one.kind, one.name, one.operation) for one in found if one.user == user}
        given = {(kind, str(name), one) for (kind, name), can in grants.items() for one in can}
        assert given - needed == set(), f"{user} never asks for it"
        implied = {(kind, str(name), "Describe") for kind, name in grants}
        assert needed - given <= implied, user


async def journey(client: Client) -> None:
    """From an event to the webhook of the alert, with each service announcing all that it can."""
    for path, change in CHANGES.items():
        answer = await client.put(path, json=DEFINITIONS[path] | change)
        assert answer.status_code == 200, answer.text
    async with open_receiver() as receiver:
        endpoint = {"url": receiver.url, "types": ["alert.*"]}
        assert (await client.put("/v1/endpoints/crm", json=endpoint)).status_code == 201
        known = await client.put("/v1/customers/c1", json={"attributes": {"tier": "gold"}})
        assert known.status_code == 201
        event = purchase(1, "c1")
        assert (await post_event(client, event)).status_code == 202
        [invitation] = await invitations(client, event)
        answer = await client.post(invitation["link"], data={"recommend": "3", "comment": "x"})
        assert answer.status_code == 303, answer.text
        assert (await score_of(client, 1))["value"] == -100.0

        async def delivered() -> bool:
            return bool(receiver.requests)

        await eventually(delivered, what="the alert")


async def from_an_inlet(client: Client, granted: Granted) -> None:
    """An event that a business system wrote is decided."""
    sent = purchase(2, "c2")
    async with open_log(granted.everything) as log, log.producer() as producer:
        await producer.send([Outgoing(INLET, b"any", json.dumps(sent).encode())])
    assert (await decisions(client, sent))[0]["outcome"] == "invited"


async def poison(client: Client, granted: Granted) -> None:
    """Every topic that a service reads has left it a dead letter, which it can read itself."""
    async with open_log(granted.everything) as log, log.producer() as producer:
        for topic in {topic for name in SERVICES for topic in topics_read(name, [INLET])}:
            await producer.send([Outgoing(topic, b"acme/c1", b"{not json")])
    for name in SERVICES:
        expected = set(topics_read(name, [INLET]))

        async def left(name: str = name, expected: set[str] = expected) -> bool:
            answer = await client.get(f"/v1/operations/{name}/dead-letters")
            return {each["topic"] for each in answer.json()["items"]} >= expected

        await eventually(left, seconds=30, what=f"the dead letters of {name}")


async def until_quiet(client: Client) -> None:
    """Everything that was said is in the log, and everything in the log is handled."""

    async def quiet() -> bool:
        for name in SERVICES:
            status = (await client.get(f"/v1/operations/{name}/status")).json()
            if status["database"]["outbox"]["waiting"] or any(status["log"]["lag"].values()):
                return False
        return True

    await eventually(quiet, seconds=30, what="that nothing waits")


def command(system: System, user: str, directory: Path, *arguments: str) -> Process:
    """A command of the operator's, run where the user's pod would run it."""
    environment = system.environment | {"AFTERWORD_KAFKA_USERNAME": user}
    return Process("", list(arguments), environment, directory / f"{arguments[1]}-{user}.log")


def ended_well(process: Process) -> None:
    process.start()
    assert process.wait_for_exit() == 0, process.log.read_text()


def database_of(system: System) -> str:
    return system.environment["AFTERWORD_DATABASE_URL"]


def told(process: Process, message: str) -> list[dict[str, Any]]:
    """The lines of a process's log that say this."""
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line[:1] == "{"]
    return [line for line in lines if line.get("message", line.get("event")) == message]
