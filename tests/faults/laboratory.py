"""The laboratory: real broker, database and services as processes, that faults are done to, and what is seen after."""

import asyncio
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from services.cli.paths import SERVICES
from tests.e2e import scenario
from tests.e2e.receiver import Receiver, open_receiver
from tests.e2e.system import Client, Process, System, distributed
from tests.faults import laws
from tests.faults.proxy import Proxy, open_proxy
from tests.faults.workload import Workload
from tests.support import eventually

WORKSPACES = 400
_QUIET_SECONDS = 180.0
_SETTINGS = {
    "AFTERWORD_RELAY_LEASE_SECONDS": "4",
    "AFTERWORD_DELIVERY_TIMEOUT_SECONDS": "2",
    "AFTERWORD_DELIVERY_LEASE_SECONDS": "9",
    "AFTERWORD_SEND_TIMEOUT_SECONDS": "2",
}
SESSION_SECONDS = 3
SEND_SECONDS = 3


@dataclass
class Laboratory:
    """What a fault can reach."""

    system: System
    broker: KafkaBroker
    postgres: PostgresServer
    proxy: Proxy
    """Between the services and the database."""
    receiver: Receiver
    database_url: str
    """Of the database itself, past the proxy."""
    _used: int = 0

    def processes(self, service: str) -> list[Process]:
        """The replicas of a service."""
        return [p for name, p in self.system.processes.items() if name.split("-")[0] == service]

    async def restart(self, *processes: Process, crash_at: str | None = None) -> None:
        """Start what has ended of these and wait until it serves; with a crash point it may be gone before."""
        for process in processes:
            if not process.running():
                process.start(crash_at=crash_at)
        for process in processes:
            await serving(process)

    async def heal(self) -> None:
        """Everything that was taken away is there again."""
        self.proxy.resume()
        self.proxy.cut_after_commits = None
        for process in self.system.processes.values():
            if process.running():
                process.signal(signal.SIGCONT)
        await self.restart(*self.system.processes.values())

    @asynccontextmanager
    async def workspace(self, rng: random.Random) -> AsyncIterator[Workload]:
        """A workspace that nothing has happened in, defined, with its workload at hand."""
        name = f"w{self._used:03}"
        self._used += 1
        async with self.system.client(name) as client:
            await scenario.define(client, **{"/v1/endpoints/crm": {"url": self.receiver.url}})
            doors = tuple(process.url for process in self.processes("ingest"))
            yield Workload(self.system, client, rng, doors)

    async def quiet(self, client: Client) -> None:
        """Wait until nothing is under way, twice: what has left one service may not have come to the next."""
        for _ in range(2):
            await eventually(
                lambda: self._is_quiet(client), seconds=_QUIET_SECONDS, every=0.2, what="quiescence"
            )

    async def _is_quiet(self, client: Client) -> bool:
        try:
            for service in SERVICES:
                status = (await client.get(f"/v1/operations/{service}/status")).json()
                if status["database"]["outbox"]["waiting"] or any(status["log"]["lag"].values()):
                    return False
            waiting = (
                ("/v1/decisions", "pending"),
                ("/v1/invitations", "sending"),
                ("/v1/responses", "parked"),
                ("/v1/deliveries", "pending"),
            )
            for path, state in waiting:
                name = "outcome" if path == "/v1/decisions" else "state"
                if (await client.get(path, params={name: state})).json()["items"]:
                    return False
        except (httpx.TransportError, KeyError):
            return False
        return True

    async def see(self, workload: Workload) -> laws.Seen:
        """Read through the public API, and from the receiver, what there is in this workspace."""
        client = workload.client
        invitations = await workload.all_of("/v1/invitations")
        secret = (await client.get("/v1/endpoints/crm/secret")).json()["secret"]
        alerts = [laws.Alert(a["id"], a["response"]) for a in await workload.all_of("/v1/alerts")]
        ours = {alert.id for alert in alerts}
        hooks = [_hook(Webhook(secret), *request) for request in self.receiver.requests]
        return laws.Seen(
            decisions=[
                laws.Decision(d["event"]["id"], d["trigger"], d["outcome"], d["why"])
                for d in await workload.all_of("/v1/decisions")
            ],
            invitations=[
                laws.Invitation(i["id"], i["customer"]["id"], i["transaction"]["key"])
                for i in invitations
            ],
            responses=[_response(r) for r in await workload.all_of("/v1/responses")],
            score=await _score(client),
            alerts=alerts,
            hooks=[hook for hook in hooks if hook.alert in ours],
            dead=await self._dead(client),
            foreign=await self._foreign(),
        )

    async def _dead(self, client: Client) -> dict[str, int]:
        found: dict[str, int] = {}
        for service in SERVICES:
            letters = await client.get(f"/v1/operations/{service}/dead-letters")
            found[service] = len(letters.json()["items"])
        return found

    async def _foreign(self) -> int:
        """What the key of a workspace that was never used is shown."""
        async with self.system.client(f"w{WORKSPACES - 1:03}") as stranger:
            lists = ("/v1/decisions", "/v1/invitations", "/v1/responses", "/v1/alerts")
            return sum([len((await stranger.get(path)).json()["items"]) for path in lists])


async def serving(process: Process, seconds: float = 60.0) -> None:
    """Wait until it is ready, or has been killed by its crash point."""

    async def ready() -> bool:
        if process.crash_at is not None and not process.running():
            return True
        assert process.running(), f"ended: {process.log.read_text()[-2000:]}"
        return await is_ready(process)

    await eventually(ready, seconds=seconds, every=0.1, what=f"{process.arguments} being ready")


async def is_ready(process: Process) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        try:
            return (await client.get(f"{process.url}/health/ready")).status_code == 200
        except httpx.TransportError:
            return False


async def after(seconds: float) -> None:
    """Let the system run for a while: the one thing here that is waited for by the clock."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        await asyncio.sleep(left)


async def _score(client: Client) -> laws.Score | None:
    answer = await client.get("/v1/scores", params={"metric": "purchase-nps.recommend"})
    for item in answer.json()["items"]:
        interval = item["interval"]
        return laws.Score(item["n"], item["value"], interval["low"], interval["high"])
    return None


def _response(row: dict[str, Any]) -> laws.Response:
    (score,) = (a["value"] for a in row["answers"] if a["question"] == "recommend")
    customer = row["customer"]["id"] if row["customer"] else None
    return laws.Response(row["id"], row["invitation"], customer, int(score), row["state"])


def _hook(webhook: Webhook, headers: Any, body: bytes) -> laws.Hook:
    try:
        webhook.verify(body, dict(headers))
        genuine = True
    except (WebhookVerificationError, ValueError):
        genuine = False
    return laws.Hook(headers["webhook-id"], json.loads(body)["data"]["alert"]["id"], body, genuine)


@asynccontextmanager
async def open_laboratory(
    *, replicas: int = 1, sabotage: str | None = None
) -> AsyncIterator[Laboratory]:
    """Start broker, database and services, or a build of them that is broken on purpose; all ends with the context."""
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="afterword-faults-"))
        )
        broker = await asyncio.to_thread(stack.enter_context, KafkaBroker())
        postgres = await asyncio.to_thread(stack.enter_context, PostgresServer(durable=False))
        proxy = await stack.enter_async_context(open_proxy(postgres.port))
        receiver = await stack.enter_async_context(open_receiver())
        url = postgres.create_database()
        through = url.replace(f":{postgres.port}/", f":{proxy.port}/")
        prefix = uuid4().hex[:8]
        system = await asyncio.to_thread(
            distributed,
            directory,
            log_url=f"{broker.url}?prefix={prefix}.&session_timeout={SESSION_SECONDS}&send_timeout={SEND_SECONDS}",
            database_url=through,
            workspaces={f"w{n:03}": {} for n in range(WORKSPACES)},
            replicas=dict.fromkeys(SERVICES, replicas),
            settings=_SETTINGS,
        )
        if sabotage is not None:
            for process in system.processes.values():
                process.module = "tests.faults.sabotage"
                process.environment = process.environment | {"SABOTAGE": sabotage}
        stack.callback(end_all, system)
        for process in system.processes.values():
            process.start()
        await asyncio.to_thread(system.wait_until_ready)
        yield Laboratory(system, broker, postgres, proxy, receiver, url)


def end_all(system: System) -> None:
    """End every process, also those that were stopped in mid-air."""
    for process in system.processes.values():
        if process.running():
            assert process.child is not None
            os.kill(process.child.pid, signal.SIGCONT)
            process.signal(signal.SIGKILL)
            process.wait_for_exit()
