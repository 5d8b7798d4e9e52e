"""The open service on the embedded log: an event in the log ends as an invitation in the log, and is explained."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.trigger.main import SCHEMA, open_service
from services.trigger.settings import Settings
from shared.auth import Access
from shared.contracts.envelope import encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import CustomerChanged, DefinitionChanged, Message
from shared.contracts.topics import topic_specs
from shared.contracts.values import DefinitionState
from shared.db import open_database
from shared.log import Log, Outgoing
from shared.log.opening import open_log
from shared.schema import migrate
from tests.support import TOKEN_KEYS, eventually, working, write_access


@dataclass
class Running:
    """The service with its loops running, a client for each workspace, and its log."""

    acme: httpx.AsyncClient
    other: httpx.AsyncClient
    log: Log

    async def append(self, *records: Outgoing) -> None:
        async with self.log.producer() as producer:
            await producer.send(list(records))

    async def event(
        self, id: str, customer: str = "ann", *, type_: str = "paid", **data: Any
    ) -> None:
        body = {
            "specversion": "1.0",
            "id": id,
            "source": "/shop",
            "type": type_,
            "subject": customer,
            "data": data,
        }
        await self.append(
            Outgoing("events", f"acme/{customer}".encode(), json.dumps(body).encode())
        )

    async def caught_up(self) -> None:
        """Wait until all that stands in the log is handled; the order of two topics is nobody's promise."""

        async def no_lag() -> bool:
            status = (await self.acme.get("/v1/operations/trigger/status")).json()
            return not any(status["log"]["lag"].values())

        await eventually(no_lag, what="handling all records")

    async def decision(self, event: str) -> dict[str, Any]:
        answer = await self.acme.get("/v1/decisions", params={"event": event, "wait": "20s"})
        items: list[dict[str, Any]] = answer.json()["items"]
        assert len(items) == 1, answer.text
        return items[0]

    async def decided(self, event: str, reason: str | None = None) -> dict[str, Any]:
        """Wait for the decision that is pending no more, or for one with this reason."""

        async def look() -> dict[str, Any] | None:
            found = await self.decision(event)
            wanted = found["reason"] == reason if reason else found["outcome"] != "pending"
            return found if wanted else None

        return await eventually(look, what=f"the decision about {event}")


def announced(message: Message, entity: str) -> Outgoing:
    return encode_message(
        Key("acme", entity),
        message,
        id="m",
        source="test",
        time=datetime.now(UTC),
        traceparent=None,
    )


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    keys = write_access(tmp_path / "access.yaml")
    settings = Settings(
        log_url=f"sqlite:///{tmp_path / 'log'}",
        database_url=f"sqlite:///{tmp_path / 'database'}",
        access_file=tmp_path / "access.yaml",
        token_keys=SecretStr(TOKEN_KEYS),
        allow_loopback=True,
        poll_seconds=0.05,
    )
    async with open_database(settings.database_url, "trigger") as database:
        await migrate(database, SCHEMA)
    async with open_log(settings.log_url) as log:
        await log.create_topics(topic_specs())
        async with open_service(settings, log, Access.load(settings.access_file)) as service:
            transport = httpx.ASGITransport(app=service.app)
            async with (
                working(service),
                httpx.AsyncClient(
                    transport=transport, base_url="http://t", headers=_bearer(keys["acme"])
                ) as acme,
                httpx.AsyncClient(
                    transport=transport, base_url="http://t", headers=_bearer(keys["other"])
                ) as other,
            ):
                yield Running(acme, other, log)


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _survey(state: DefinitionState = "published") -> Outgoing:
    at = datetime.now(UTC)
    message = DefinitionChanged(
        revision=1,
        kind="survey",
        id="nps",
        state=state,
        document={},
        active_from=at,
        changed_by="t",
    )
    return announced(message, "survey/nps")


async def test_from_the_log_to_the_log(running: Running) -> None:
    put = await running.acme.put(
        "/v1/triggers/after",
        json={"on": "paid", "survey": "nps", "when": {"path": "data.amount", "gt": 5}},
    )
    assert put.status_code == 201, put.text
    assert put.json()["unresolved"] == [{"kind": "survey", "id": "nps", "at": "survey"}]
    await running.append(_survey())
    await running.event("e1", amount=10)
    await running.event("e2", "bob", amount=1)
    first = await running.decision("e1")
    answer = await running.acme.get(
        "/v1/invitations", params={"event": "e1", "source": "/shop", "wait": "20s"}
    )
    (invitation,) = answer.json()["items"]
    assert invitation["decision"] == first["id"]
    assert invitation["state"] == "sent"
    second = await running.decided("e2")
    assert (second["outcome"], second["reason"]) == ("suppressed", "condition")
    whole = await running.acme.get(f"/v1/decisions/{second['id']}")
    assert whole.json()["trace"][-1]["explanation"]["value"] == 1


async def test_an_unknown_survey_is_waited_for_a_moment_after_the_trigger_was_put(
    running: Running,
) -> None:
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    await running.event("e1")
    assert (await running.decision("e1"))["outcome"] in ("pending", "suppressed")
    await running.append(_survey())
    answer = await running.acme.get("/v1/invitations", params={"event": "e1", "wait": "20s"})
    assert len(answer.json()["items"]) == 1


async def test_a_customer_who_does_not_want_to_be_asked_is_not(running: Running) -> None:
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    stopped = CustomerChanged(
        id="ann", revision=1, consent={"surveys": False}, changed_at=datetime.now(UTC)
    )
    await running.append(_survey(), announced(stopped, "ann"))
    await running.caught_up()
    await running.event("e1")
    decision = await running.decided("e1")
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
        assert (
            (foreign.status_code, foreign.json()["title"])
            == (404, "Not found")
            == (unknown.status_code, unknown.json()["title"])
        )
    for path in ("/v1/decisions", "/v1/invitations", "/v1/triggers"):
        assert (await running.other.get(path)).json()["items"] == []


async def test_what_nobody_listens_to_and_what_was_given_up_are_listed_with_the_rest(
    running: Running,
) -> None:
    await running.append(_survey())
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    await running.event("e1")
    await running.event("e2", type_="viewed")
    await running.event("e3")
    assert (await running.decision("e2"))["outcome"] == "no_trigger"
    assert (await running.decision("e2"))[
        "why"
    ] == "No trigger of this workspace listens to events of type viewed."
    await running.decision("e1")
    await running.decision("e3")
    listed = await running.acme.get("/v1/decisions", params={"customer": "ann"})
    assert {item["event"]["id"] for item in listed.json()["items"]} == {"e1", "e2", "e3"}
    found, cursor = [], None
    while True:
        page = (
            await running.acme.get(
                "/v1/decisions", params={"limit": 1} | ({"cursor": cursor} if cursor else {})
            )
        ).json()
        found += [item["event"]["id"] for item in page["items"]]
        cursor = page.get("next")
        if cursor is None:
            break
    assert sorted(found) == ["e1", "e2", "e3"]
    only = await running.acme.get("/v1/decisions", params={"outcome": "no_trigger"})
    (item,) = only.json()["items"]
    assert (await running.acme.get(f"/v1/decisions/{item['id']}")).json() == item
    none = await running.acme.get(
        "/v1/decisions", params={"trigger": "after", "reason": "opted_out"}
    )
    assert none.json()["items"] == []


async def test_a_query_that_makes_no_sense_is_refused(running: Running) -> None:
    for query in (
        "wait=31s",
        "wait=5",
        "wait=-1s",
        "limit=0",
        "limit=501",
        "cursor=nonsense",
        "outcome=perhaps",
        "event=",
    ):
        answer = await running.acme.get(f"/v1/decisions?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["errors"]


async def test_a_channel_has_a_secret_that_is_read_and_never_written(running: Running) -> None:
    document = {"type": "webhook", "url": "http://127.0.0.1:9000/hook"}
    refused = await running.acme.put("/v1/channels/crm", json=document | {"secret": "whsec_x"})
    assert refused.status_code == 422
    assert (await running.acme.put("/v1/channels/crm", json=document)).status_code == 201
    first = (await running.acme.get("/v1/channels/crm/secret")).json()["secret"]
    assert first.startswith("whsec_")
    assert first not in (await running.acme.get("/v1/channels/crm")).text
    await running.acme.put(
        "/v1/channels/crm", json=document | {"url": "http://127.0.0.1:9000/other"}
    )
    assert (await running.acme.get("/v1/channels/crm/secret")).json()["secret"] == first
    assert (await running.other.get("/v1/channels/crm/secret")).status_code == 404
    assert (await running.acme.delete("/v1/channels/crm")).status_code == 204
    assert (await running.acme.get("/v1/channels/crm/secret")).status_code == 404
    await running.acme.put("/v1/channels/crm", json=document)
    assert (await running.acme.get("/v1/channels/crm/secret")).json()["secret"] != first


async def test_a_paused_trigger_goes_on_where_it_was_held(running: Running) -> None:
    trigger = {"on": "paid", "survey": "nps", "delay": "2s"}
    await running.append(_survey())
    await running.acme.put("/v1/triggers/after", json=trigger)
    await running.event("e1")
    assert (await running.decision("e1"))["reason"] in (
        "delay",
        "waiting_for_survey",
        "waiting_for_customers",
    )
    await running.acme.put("/v1/triggers/after", json=trigger | {"state": "paused"})
    held = await running.decided("e1", reason="paused")
    assert held["why"] == "The trigger is paused; the decision is held."
    await running.acme.put("/v1/triggers/after", json=trigger)
    answer = await running.acme.get("/v1/invitations", params={"event": "e1", "wait": "20s"})
    assert len(answer.json()["items"]) == 1


async def test_a_tombstone_at_the_end_of_customers_holds_nobody_up(running: Running) -> None:
    await running.append(
        _survey(), *(Outgoing("customers", f"acme/c{i}".encode(), None) for i in range(40))
    )
    await running.append(Outgoing("customers", b"acme/broken", b"not ours"))
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    await running.event("e1")
    answer = await running.acme.get("/v1/invitations", params={"event": "e1", "wait": "20s"})
    assert len(answer.json()["items"]) == 1


async def test_doctor_sees_that_all_is_well(running: Running) -> None:
    async def look() -> set[str] | None:
        checks = (await running.acme.get("/v1/operations/trigger/status")).json()["checks"]
        well = all(check["state"] == "ok" for check in checks)
        return {check["name"] for check in checks} if well else None

    assert await eventually(look) == {"customers", "releases", "sendings"}


async def test_a_poison_event_has_a_decision_and_its_neighbours_theirs(running: Running) -> None:
    await running.append(_survey())
    await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    broken = {"specversion": "1.0", "id": "bad", "source": "/shop", "type": "paid", "subject": 7}
    good = [json.dumps(broken | {"id": f"e{i}", "subject": "ann"}).encode() for i in range(20)]
    values = [*good[:11], json.dumps(broken).encode(), b"no name at all", *good[11:]]
    await running.append(*(Outgoing("events", b"acme/ann", value) for value in values))
    decision = await running.decision("bad")
    assert (decision["outcome"], decision["customer"]) == ("dead_lettered", "ann")
    assert "subject" in decision["why"]
    for i in range(20):
        await running.decision(f"e{i}")

    async def letters() -> list[Any]:
        items: list[Any] = (await running.acme.get("/v1/operations/trigger/dead-letters")).json()[
            "items"
        ]
        return items if len(items) == 2 else []

    listed = await eventually(letters)
    named = next(letter for letter in listed if "subject" in letter["reason"])
    again = await running.acme.post(f"/v1/operations/trigger/dead-letters/{named['id']}/replay")
    assert again.status_code == 409


async def test_a_decision_shows_the_time_that_its_event_brought_and_no_other(
    running: Running,
) -> None:
    put = await running.acme.put("/v1/triggers/after", json={"on": "paid", "survey": "nps"})
    assert put.status_code == 201, put.text
    await running.event("without")
    body = {"specversion": "1.0", "id": "with", "source": "/shop", "type": "paid", "subject": "bob"}
    body["time"] = datetime.now(UTC).replace(microsecond=0).isoformat()
    await running.append(Outgoing("events", b"acme/bob", json.dumps(body).encode()))
    shown = {id: (await running.decision(id))["event"]["time"] for id in ("without", "with")}
    assert shown["without"] is None
    assert datetime.fromisoformat(shown["with"]) == datetime.fromisoformat(body["time"])
