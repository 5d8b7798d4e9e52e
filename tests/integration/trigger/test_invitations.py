"""Invitations move from state to state, each change announced once; a channel sends at least once, signed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web
from msgspec.structs import replace

from services.trigger.dispatch import Sender
from services.trigger.store.secrets import load_secret, make_secrets
from shared.webhook import verify
from shared.webhook.client import WebhookClient
from tests.integration.trigger.conftest import Bench
from tests.listening import listening


@dataclass
class Receiver:
    """A business system on loopback that keeps what it was sent and answers as told."""

    url: str = ""
    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    meanwhile: Callable[[], Any] | None = None

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        if self.meanwhile is not None:
            await self.meanwhile()
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/", made.receive)
    async with listening(app) as url:
        made.url = f"{url}/"
        yield made


@pytest.fixture
async def sender(bench: Bench) -> AsyncIterator[Sender]:
    async with WebhookClient.open(allow_loopback=True) as client:
        yield Sender(bench.database, client, 5.0, 10)


async def announced(bench: Bench) -> list[tuple[str, int]]:
    rows = [row for row in await bench.rows("outbox", "id") if row.topic == "invitations"]
    messages = [json.loads(row.value)["data"] for row in rows]
    return [(message["state"], message["revision"]) for message in messages]


async def invitation(bench: Bench) -> Any:
    (row,) = await bench.rows("invitations")
    return row


async def asked_by_webhook(
    bench: Bench, receiver: Receiver, traceparent: str | None = None, **fields: Any
) -> None:
    """One invitation that is to be sent through the channel `crm`."""
    await bench.put("channel", "crm", {"type": "webhook", "url": receiver.url})
    async with bench.database.begin() as tx:
        await make_secrets(tx, "acme", ["crm"])
    await bench.trigger(
        channel="crm", contact={"email": "data.mail", "phone": "data.phone"}, **fields
    )
    await bench.handlers.customers([bench.customer("ann", contact={"email": "ann@known.example"})])
    event = bench.event(data={"mail": "ann@event.example", "phone": "123"})
    await bench.handlers.events([replace(event, traceparent=traceparent)])


async def make_due(bench: Bench) -> None:
    async with bench.database.begin() as tx:
        await tx.execute(
            sa.text(
                "UPDATE invitations SET send_at = made_at, leased_until = NULL WHERE send_at IS NOT NULL"
            )
        )


async def test_an_answer_ends_an_invitation_once(bench: Bench) -> None:
    await bench.trigger()
    await bench.handlers.events([bench.event()])
    id = (await invitation(bench)).id
    await bench.handlers.responses(
        [bench.response("unknown"), bench.response(id), bench.response(id, revision=2)]
    )
    await bench.handlers.responses([bench.response(id, revision=3)])
    await bench.handlers.responses([bench.response(id, workspace="other")])
    assert await announced(bench) == [("sent", 1), ("answered", 2)]
    assert await bench.releases.expire() == 0


async def test_links_expire_once_and_an_answer_on_its_way_still_counts(bench: Bench) -> None:
    await bench.trigger()
    await bench.handlers.events([bench.event()])
    assert await bench.releases.expire() == 0
    async with bench.database.begin() as tx:
        await tx.execute(sa.text("UPDATE invitations SET expires_at = made_at"))
    assert [await bench.releases.expire(), await bench.releases.expire()] == [1, 0]
    await bench.handlers.responses([bench.response((await invitation(bench)).id)])
    assert await announced(bench) == [("sent", 1), ("expired", 2), ("answered", 3)]


async def test_a_stop_ends_open_invitations(bench: Bench) -> None:
    await bench.trigger()
    await bench.handlers.events([bench.event()])
    stop = bench.customer("ann", consent={"surveys": False})
    await bench.handlers.customers([stop])
    await bench.handlers.customers([stop])
    assert await announced(bench) == [("sent", 1), ("stopped", 2)]


async def test_the_webhook_carries_the_link_signed(
    bench: Bench, receiver: Receiver, sender: Sender
) -> None:
    await asked_by_webhook(bench, receiver)
    assert await announced(bench) == [("made", 1)]
    assert [await sender.step(), await sender.step()] == [1, 0]
    assert await announced(bench) == [("made", 1), ("sending", 2), ("sent", 3)]
    ((headers, body),) = receiver.got
    async with bench.database.read() as tx:
        secret = await load_secret(tx, "acme", "crm")
    assert secret is not None
    verify([secret], headers, body, int(datetime.now(UTC).timestamp()))
    row = await invitation(bench)
    assert {name.lower(): value for name, value in headers.items()}["webhook-id"] == row.id
    sent = json.loads(body)
    assert sent["type"] == "invitation.made"
    assert sent["data"]["link"].startswith("https://ask.example/s/")
    assert sent["data"]["contact"] == {"email": "ann@known.example", "phone": "123"}
    assert sent["data"]["transaction"]["data"] == {}


@pytest.mark.parametrize("traceparent", ["00-" + "a" * 32 + "-" + "b" * 16 + "-01", None])
async def test_the_trace_of_the_event_goes_on_at_the_receiver(
    bench: Bench, receiver: Receiver, sender: Sender, traceparent: str | None
) -> None:
    await asked_by_webhook(bench, receiver, traceparent)
    await sender.step()
    ((headers, _),) = receiver.got
    assert headers.get("traceparent") == traceparent


async def test_an_invitation_is_told_in_the_trace_of_its_event_and_answered_in_that_of_its_answer(
    bench: Bench, receiver: Receiver, sender: Sender
) -> None:
    trace, of_the_answer = (f"00-{digit * 32}-{'b' * 16}-01" for digit in "ac")
    await asked_by_webhook(bench, receiver, trace)
    await sender.step()
    answer = bench.response((await invitation(bench)).id)
    await bench.handlers.responses([replace(answer, traceparent=of_the_answer)])
    rows = [row for row in await bench.rows("outbox", "id") if row.topic == "invitations"]
    told = [json.loads(row.value) for row in rows]
    assert [(each["data"]["state"], each["traceparent"]) for each in told] == [
        ("made", trace),
        ("sending", trace),
        ("sent", trace),
        ("answered", of_the_answer),
    ]


async def test_a_failure_is_tried_again_with_the_same_id_until_the_schedule_ends(
    bench: Bench, receiver: Receiver, sender: Sender
) -> None:
    receiver.status = 500
    await asked_by_webhook(bench, receiver)
    for _ in range(12):
        await sender.step()
        await make_due(bench)
    row = await invitation(bench)
    assert (row.state, row.attempts, row.last_error, row.send_at) == (
        "failed",
        10,
        "answered 500",
        None,
    )
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    assert await announced(bench) == [("made", 1), ("sending", 2), ("failed", 3)]


async def test_what_a_dead_sender_left_is_sent_again(
    bench: Bench, receiver: Receiver, sender: Sender
) -> None:
    await asked_by_webhook(bench, receiver)
    async with bench.database.begin() as tx:
        await tx.execute(sa.text("UPDATE invitations SET leased_until = expires_at"))
    assert await sender.step() == 0
    await make_due(bench)
    assert await sender.step() == 1
    assert (await invitation(bench)).state == "sent"


async def test_a_stop_while_it_is_sent_stays(
    bench: Bench, receiver: Receiver, sender: Sender
) -> None:
    await asked_by_webhook(bench, receiver)
    stop = bench.customer("ann", consent={"surveys": False})
    receiver.meanwhile = lambda: bench.handlers.customers([stop])
    await sender.step()
    assert await announced(bench) == [("made", 1), ("sending", 2), ("stopped", 3)]
    await make_due(bench)
    assert await sender.step() == 0


async def test_a_channel_that_sends_is_not_used_where_history_is_replayed(
    bench: Bench, receiver: Receiver
) -> None:
    await bench.put("channel", "crm", {"type": "webhook", "url": receiver.url}, workspace="past")
    await bench.trigger(channel="crm", workspace="past")
    await bench.handlers.events([bench.event(workspace="past")])
    assert await bench.outcomes() == {("e1", "after"): ("suppressed", "channel_needs_wall_clock")}


@pytest.mark.postgres
async def test_two_senders_send_each_once(
    postgres_copy: str, receiver: Receiver, access: Any
) -> None:
    from tests.integration.trigger.conftest import open_bench

    async with (
        open_bench(postgres_copy, access) as bench,
        WebhookClient.open(allow_loopback=True) as client,
    ):
        await bench.set_fresh()
        await bench.survey()
        await asked_by_webhook(bench, receiver)
        await bench.handlers.events([bench.event(f"x{i}", f"c{i}") for i in range(30)])
        senders = [Sender(bench.database, client, 5.0, 10) for _ in range(3)]
        await asyncio.gather(*(_drain(sender) for sender in senders))
        ids = [headers["webhook-id"] for headers, _ in receiver.got]
        assert len(ids) == len(set(ids)) == 31
        assert {row.state for row in await bench.rows("invitations")} == {"sent"}


async def _drain(sender: Sender) -> None:
    while await sender.step():
        pass
