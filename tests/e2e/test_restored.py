"""An older database beside the log, as after a backup was restored: nothing announced since is lost, asked again,
counted twice or told to nobody."""

import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from tests.e2e import scenario
from tests.e2e.receiver import Receiver
from tests.e2e.system import Client, System, distributed, embedded
from tests.support import eventually

pytestmark = pytest.mark.timeout(240)


@dataclass
class Kept:
    """A system whose databases can be put back to what they were; its log goes on."""

    system: System
    back_up: Callable[[], None]
    restore: Callable[[], None]

    @contextmanager
    def stopped(self, how: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        for process in self.system.processes.values():
            process.end(how)
        yield
        for process in self.system.processes.values():
            process.start()
        self.system.wait_until_ready()


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("distributed", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ]
)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    made = (
        _on_files(tmp_path)
        if request.param == "embedded"
        else _on_servers(
            request.getfixturevalue("kafka_broker"),
            request.getfixturevalue("postgres_server"),
            tmp_path,
        )
    )
    with made.system.running():
        yield made


def _on_files(directory: Path) -> Kept:
    """The databases are the files beside that of the log."""
    data, backup = directory / "data", directory / "backup"

    def back_up() -> None:
        backup.mkdir()
        for file in _databases(data):
            shutil.copy2(file, backup)

    def restore() -> None:
        for file in _databases(data):
            file.unlink()
        for file in backup.iterdir():
            shutil.copy2(file, data)

    return Kept(embedded(directory), back_up, restore)


def _databases(data: Path) -> list[Path]:
    return [file for file in data.glob("*.db*") if not file.name.startswith("log.")]


def _on_servers(broker: KafkaBroker, server: PostgresServer, directory: Path) -> Kept:
    url = server.create_database()
    log_url = f"{broker.url}?prefix={uuid4().hex[:8]}.&session_timeout=6"
    system = distributed(directory, log_url=log_url, database_url=url)
    copies: list[str] = []

    def back_up() -> None:
        copies.append(server.create_database(template=url))

    def restore() -> None:
        for process in system.processes.values():
            process.environment["AFTERWORD_DATABASE_URL"] = copies[-1]

    return Kept(system, back_up, restore)


@pytest.fixture
async def client(kept: Kept) -> AsyncIterator[Client]:
    async with kept.system.client() as opened:
        yield opened


async def answered(client: Client, number: int, score: int) -> dict[str, Any]:
    """A purchase, its invitation, and the answer to it."""
    event = scenario.purchase(number, f"c{number}")
    assert (await scenario.post_event(client, event)).status_code == 202
    (invitation,) = await scenario.invitations(client, event)
    answer = await client.post(invitation["link"], data={"v": "1", "recommend": str(score)})
    assert answer.status_code in (200, 303), answer.text
    return invitation


async def decided(client: Client, event: dict[str, Any]) -> dict[str, Any]:
    """The one decision about the event, once it is not pending: after a start trigger waits for customers to be read."""

    async def settled() -> dict[str, Any] | None:
        (decision,) = await scenario.decisions(client, event)
        return None if decision["outcome"] == "pending" else decision

    return await eventually(settled, what="the decision")


async def listed(client: Client, path: str) -> list[dict[str, Any]]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_older_database_takes_over_again_what_was_announced_since(
    kept: Kept, client: Client, receiver: Receiver
) -> None:
    await scenario.define(client)
    endpoint = {"url": receiver.url}
    assert (await client.put("/v1/endpoints/crm", json=endpoint)).status_code == 201
    before = await answered(client, 1, 9)
    await scenario.score_of(client, 1)
    with kept.stopped():
        kept.back_up()

    later = await answered(client, 2, 2)
    suppressed = scenario.purchase(3, "c2")
    assert (await scenario.post_event(client, suppressed)).status_code == 202
    assert (await decided(client, suppressed))["outcome"] == "suppressed"
    stop = {"consent": {"surveys": False}}
    assert (await client.put("/v1/customers/c9", json=stop)).status_code == 201
    renamed = scenario.DEFINITIONS["/v1/surveys/purchase-nps"] | {
        "title": {"en": "The purchase", "zh": "购买"}
    }
    assert (await client.put("/v1/surveys/purchase-nps", json=renamed)).status_code == 200
    rule = {"about": "response", "when": {"path": "answers.recommend", "lte": 1}}
    assert (await client.put("/v1/alert-rules/furious", json=rule)).status_code == 201
    await scenario.score_of(client, 2)

    async def told() -> bool:
        return len(receiver.requests) == 1

    await eventually(told, what="the webhook of the alert")
    (alert,) = await listed(client, "/v1/alerts")

    async def announced() -> bool:
        found = [
            (await client.get(f"/v1/operations/{service}/status")).json()["database"]["outbox"]
            for service in ("ingest", "trigger", "scoring", "alerting")
        ]
        return all(outbox["waiting"] == 0 for outbox in found)

    await eventually(announced, what="empty outboxes")
    with kept.stopped(signal.SIGKILL):
        kept.restore()

    await scenario.score_of(client, 2)
    responses = await listed(client, "/v1/responses")
    assert {each["invitation"] for each in responses} == {before["id"], later["id"]}
    (again,) = await listed(client, "/v1/alerts")
    assert (again["id"], again["response"]) == (alert["id"], alert["response"])
    for event, outcome in ((scenario.purchase(2, "c2"), "invited"), (suppressed, "suppressed")):
        assert (await scenario.post_event(client, event)).status_code == 202
        decision = await decided(client, event)
        assert decision["outcome"] == outcome
    invited = await listed(client, "/v1/invitations")
    assert sorted(each["id"] for each in invited) == sorted([before["id"], later["id"]])

    assert (await client.get("/v1/customers/c9")).json()["consent"] == {"surveys": False}
    assert (await client.get("/v1/surveys/purchase-nps")).json()["title"] == renamed["title"]
    assert len(await listed(client, "/v1/surveys/purchase-nps/versions")) == 2
    assert (await client.get("/v1/alert-rules/furious")).status_code == 200
    refused = scenario.purchase(4, "c9")
    assert (await scenario.post_event(client, refused)).status_code == 202
    decision = await decided(client, refused)
    assert (decision["outcome"], decision["reason"]) == ("suppressed", "opted_out")

    async def told_again() -> bool:
        return len(receiver.requests) > 1

    for service in ("ingest", "trigger", "scoring", "alerting"):
        letters = await client.get(f"/v1/operations/{service}/dead-letters")
        assert letters.json() == {"items": []}, letters.text
    await eventually(told_again, what="the webhook once more, for nobody knows that it arrived")
    first, *others = receiver.requests
    assert {(each.headers["webhook-id"], each.body) for each in others} == {
        (first.headers["webhook-id"], first.body)
    }
