"""Laws 9 and 10: a link works before its copy arrives; an outage of a dependency ends nothing and never spreads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from shared.contracts.keys import Key
from shared.contracts.partitioner import partition_of
from shared.contracts.topics import PARTITIONS, Topic
from shared.log import TopicPartition
from shared.log.opening import open_log
from tests.e2e import scenario
from tests.e2e.system import Client, System, distributed
from tests.support import eventually

TOPIC = Topic.INVITATIONS
pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(240)]


@dataclass
class Own:
    """A system on a broker and a server of this module's own, because they are stopped here."""

    system: System
    broker: KafkaBroker
    server: PostgresServer
    database_url: str

    def still_running(self) -> None:
        ended = [name for name, process in self.system.processes.items() if not process.running()]
        assert not ended, f"ended in an outage: {ended}"


@pytest.fixture(scope="module")
def own(
    kafka_broker: KafkaBroker,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Own]:
    """The run's servers are asked for first, so that a machine without them skips here too."""
    with KafkaBroker() as broker, PostgresServer(durable=False) as server:
        database_url = server.create_database()
        workspaces: dict[str, dict[str, Any]] = {f"o{number}": {} for number in range(8)}
        system = distributed(
            tmp_path_factory.mktemp("outages"),
            log_url=f"{broker.url}?session_timeout=6&send_timeout=3",
            database_url=database_url,
            workspaces=workspaces,
        )
        with system.running():
            yield Own(system, broker, server, database_url)


@pytest.fixture
async def client(own: Own, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """The public API with the key of the test's own workspace."""
    async with own.system.client(workspace_of(request)) as opened:
        await scenario.define(opened)
        yield opened


def workspace_of(request: pytest.FixtureRequest) -> str:
    """A workspace for each test, by its place in the file."""
    tests = [item.name for item in request.session.items if item.path == request.node.path]
    return f"o{tests.index(request.node.name)}"


async def invited(client: Client, number: int, customer: str) -> str:
    """The link of a new purchase."""
    event = scenario.purchase(number, customer)
    assert (await scenario.post_event(client, event)).status_code == 202
    (invitation,) = await scenario.invitations(client, event)
    link: str = invitation["link"]
    return link


@asynccontextmanager
async def partitions_taken_away(own: Own) -> AsyncIterator[frozenset[TopicPartition]]:
    """Join ingest's consumer group and do nothing with what it gives us: for those customers, ingest's consumer of
    invitations is down."""
    async with (
        open_log(own.system.environment["AFTERWORD_LOG_URL"]) as log,
        log.consumer("ingest", [TOPIC]) as idle,
    ):

        async def taken() -> frozenset[TopicPartition]:
            await idle.fetch(max_records=1, timeout_seconds=0.2)
            return idle.assigned()

        yield await eventually(taken, seconds=60, what="an assignment")


async def test_a_link_opens_and_takes_the_answer_while_the_consumer_of_copies_is_down(
    own: Own, client: Client, request: pytest.FixtureRequest
) -> None:
    workspace = workspace_of(request)
    async with partitions_taken_away(own) as taken:
        numbers = {partition.partition for partition in taken}
        customer = next(
            name
            for name in (f"c{i}" for i in range(100))
            if partition_of(Key(workspace, name).encode(), PARTITIONS) in numbers
        )
        link = await invited(client, 1, customer)
        page = await client.get(link)
        assert page.status_code == 200
        assert "recommend us" in page.text
        assert (await client.post(link, data={"recommend": "9"})).status_code == 303
        parked = (await client.get("/v1/responses", params={"state": "parked"})).json()["items"]
        assert len(parked) == 1
    score = await scenario.score_of(client, 1)
    assert (score["n"], score["value"]) == (1, 100.0)
    (response,) = (await client.get("/v1/responses")).json()["items"]
    assert response["customer"]["id"] == customer
    own.still_running()


async def test_without_the_database_events_are_taken_in_and_decided_later(
    own: Own, client: Client
) -> None:
    link = await invited(client, 1, "before")
    await asyncio.to_thread(own.server.kill)
    try:
        event = scenario.purchase(2, "during")
        assert (await scenario.post_event(client, event)).status_code == 202
        for path in (
            link,
            "/v1/surveys/purchase-nps",
            "/v1/decisions",
            "/v1/scores?kind=nps",
            "/v1/alerts",
        ):
            answer = await client.get(path)
            assert answer.status_code == 503, f"{path}: {answer.status_code}"
            assert "retry-after" in answer.headers
        for service, url in own.system.urls.items():
            assert (await client.get(f"{url}/health/live")).status_code == 200, service
            assert (await client.get(f"{url}/health/ready")).status_code == 200, service
        own.still_running()
    finally:
        await asyncio.to_thread(own.server.start)
    decided = await patiently(lambda: scenario.decisions(client, event, wait="1s"))
    assert decided[0]["outcome"] == "invited"
    assert (await client.post(link, data={"recommend": "9"})).status_code == 303
    assert (await scenario.score_of(client, 1))["n"] == 1
    own.still_running()


async def test_without_the_log_survey_pages_take_answers_and_events_are_told_to_come_again(
    own: Own, client: Client
) -> None:
    link = await invited(client, 1, "before")
    await asyncio.to_thread(own.broker.kill)
    try:
        assert (await client.get(link)).status_code == 200
        assert (await client.post(link, data={"recommend": "9"})).status_code == 303
        event = scenario.purchase(2, "during")
        refused = await scenario.post_event(client, event)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.get("/v1/decisions")).status_code == 200
        own.still_running()
    finally:
        await asyncio.to_thread(own.broker.start)

    async def taken() -> bool:
        return (await scenario.post_event(client, event)).status_code == 202

    await eventually(taken, seconds=60, what="the retry")
    decided = await patiently(lambda: scenario.decisions(client, event, wait="1s"))
    assert [each["outcome"] for each in decided] == ["invited"]

    async def counted() -> bool:
        items = (await client.get("/v1/scores", params={"kind": "nps"})).json()["items"]
        return bool(items) and items[0]["n"] == 1

    await eventually(counted, seconds=60, what="the score")
    own.still_running()


async def test_processes_that_start_without_their_dependencies_wait_for_them(
    own: Own, client: Client
) -> None:
    for process in own.system.processes.values():
        await asyncio.to_thread(process.end)
    await asyncio.to_thread(own.server.stop)
    await asyncio.to_thread(own.broker.stop)
    try:
        for process in own.system.processes.values():
            process.start()

        async def live() -> bool:
            try:
                answers = [
                    await client.get(f"{url}/health/live") for url in own.system.urls.values()
                ]
            except httpx.TransportError:
                own.still_running()
                return False
            return all(answer.status_code == 200 for answer in answers)

        await eventually(live, seconds=60, what="liveness without any dependency")
    finally:
        await asyncio.to_thread(own.broker.start)
        await asyncio.to_thread(own.server.start)
    event = scenario.purchase(1, "after")

    async def taken() -> bool:
        return (await scenario.post_event(client, event)).status_code == 202

    await eventually(taken, seconds=60, what="an event accepted")
    decided = await patiently(lambda: scenario.decisions(client, event, wait="1s"))
    assert decided[0]["outcome"] == "invited"
    own.still_running()


async def patiently(look: Callable[[], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Look until there is something, taking an outage that is just ending for nothing yet."""

    async def once() -> list[dict[str, Any]]:
        try:
            return await look()
        except (AssertionError, httpx.TransportError):
            return []

    return await eventually(once, seconds=90, what="a decision")
