"""The open service on the embedded log: an event in the log ends as an invitation in the log, and is explained."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.trigger.main import SCHEMA, open_service
from services.trigger.settings import Settings
from shared.auth import Access
from shared.contracts.envelope import encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged, DefinitionChanged, Message
from shared.contracts.topics import topic_specs
from shared.db import open_database
from shared.log import Log, Outgoing
from shared.log.opening import open_log
from shared.schema import migrate
from tests.support import TOKEN_KEYS, write_access


@dataclass
class Running:
    """The service with its loops running, a client for each workspace, and its log."""

    acme: httpx.AsyncClient
    other: httpx.AsyncClient
    log: Log

    async def append(self, *records: Outgoing) -> None:
        async with self.log.producer() as producer:
            await producer.send(list(records))

    async def event(self, id: str, customer: str = "ann", **data: Any) -> None:
        body = {"specversion": "1.0", "id": id, "source": "/shop", "type": "paid", "subject": customer, "data": data}
        await self.append(Outgoing("events", f"acme/{customer}".encode(), json.dumps(body).encode()))

    async def decision(self, event: str) -> dict[str, Any]:
        answer = await self.acme.get("/v1/decisions", params={"event": event, "wait": "20s"})
        items: list[dict[str, Any]] = answer.json()["items"]
        assert len(items) == 1, answer.text
        return items[0]


def announced(message: Message, entity: str) -> Outgoing:
    return encode_message(Key("acme", entity), message, id="m", source="test", time=datetime.now(UTC), traceparent=None)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    keys = write_access(tmp_path / "access.yaml")
    urls = {"log_url": f"sqlite:///{tmp_path / 'log'}", "database_url": f"sqlite:///{tmp_path / 'database'}"}
    settings = Settings(
        **urls, access_file=tmp_path / "access.yaml", token_keys=TOKEN_KEYS, allow_loopback=True, poll_seconds=0.05  # type: ignore[arg-type]
    )
    async with open_database(settings.database_url, "trigger") as database:
        await migrate(database, SCHEMA)
    stop = asyncio.Event()
    async with open_log(settings.log_url) as log:
        await log.create_topics(topic_specs())
        async with open_service(settings, log, Access.load(settings.access_file)) as service:
            tasks = [asyncio.ensure_future(work(stop)) for work in service.work]
            transport = httpx.ASGITransport(app=service.app)
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://t", headers=_bearer(keys["acme"])) as acme,
                httpx.AsyncClient(transport=transport, base_url="http://t", headers=_bearer(keys["other"])) as other,
            ):
                yield Running(acme, other, log)
            stop.set()
            await asyncio.gather(*tasks)


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _survey(state: str = "published") -> Outgoing:
    at = datetime.now(UTC)
    message = DefinitionChanged(
        revision=1, kind="survey", id="nps", state=state, document={}, active_from=at, changed_by="t"  # type: ignore[arg-type]
    )
    return announced(message, "survey/nps")


async def test_from_the_log_to_the_log(running: Running) -> None:
    put = await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps", "when": {"path": "data.amount", "gt": 5}})
    assert put.status_code == 201, put.text
    assert put.json()["unresolved"] == [{"kind": "survey", "id": "nps", "at": "survey"}]
    await running.append(_survey())
    await running.event("e1", amount=10)
    await running.event("e2", "bob", amount=1)
    first = await running.decision("e1")
    answer = await running.acme.get("/v1/invitations", params={"event": "e1", "source": "/shop", "wait": "20s"})
    (invitation,) = answer.json()["items"]
    assert invitation["decision"] == first["id"]
    assert invitation["state"] == "sent"
    second = await running.decision("e2")
    assert (second["outcome"], second["reason"]) == ("suppressed", "condition")
    whole = await running.acme.get(f"/v1/decisions/{second['id']}")
    assert whole.json()["trace"][-1]["explanation"]["value"] == 1


async def test_an_unknown_survey_is_waited_for_a_moment_after_the_trigger_was_put(running: Running) -> None:
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    await running.event("e1")
    assert (await running.decision("e1"))["outcome"] in ("pending", "suppressed")
    await running.append(_survey())
    answer = await running.acme.get("/v1/invitations", params={"event": "e1", "wait": "20s"})
    assert len(answer.json()["items"]) == 1


async def test_a_customer_who_does_not_want_to_be_asked_is_not(running: Running) -> None:
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    stopped = CustomerChanged(id="ann", revision=1, consent={"surveys": False}, changed_at=datetime.now(UTC))
    await running.append(_survey(), announced(stopped, "ann"))
    await running.event("e1")
    decision = await running.decision("e1")
    for _ in range(200):
        if decision["outcome"] != "pending":
            break
        await asyncio.sleep(0.05)
        decision = await running.decision("e1")
    assert decision["reason"] == "opted_out"
    assert decision["why"] == "The customer does not want to be asked."


async def test_no_other_workspace_sees_anything(running: Running) -> None:
    await running.append(_survey())
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    await running.event("e1")
    await running.acme.get("/v1/invitations", params={"event": "e1", "wait": "20s"})
    id = (await running.decision("e1"))["id"]
    for path in (f"/v1/decisions/{id}", f"/v1/invitations/{id}", "/v1/triggers/after"):
        assert (await running.acme.get(path)).status_code == 200
        foreign = await running.other.get(path)
        unknown = await running.other.get(path.replace(path.rsplit("/", 1)[1], "x"))
        assert (foreign.status_code, foreign.json()["title"]) == (404, "Not found") == (unknown.status_code, unknown.json()["title"])
    for path in ("/v1/decisions", "/v1/invitations", "/v1/triggers"):
        assert (await running.other.get(path)).json()["items"] == []
