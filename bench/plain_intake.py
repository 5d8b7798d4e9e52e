"""The baseline of the intake: an ordinary route in the application of every service, with the same checks.

It is what one would write first with FastAPI, pydantic and aiokafka, on the ground that all other routes stand on
(request ids, timing, bounded and clean bodies, problems), which the intake's own door has built in.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import aiokafka
import uvicorn
import uvloop
from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from services.ingest.rules.text import MAX_NESTING, allowed, trouble
from shared.auth import Access, Principal, Scope, requires
from shared.contracts.keys import Key
from shared.contracts.topics import Topic
from shared.http.app import Health, create_app

FUTURE = timedelta(minutes=5)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def _printable(text: str) -> str:
    if not allowed(text):
        raise ValueError("has a control character")
    return text


def _in_range(time: datetime) -> datetime:
    if not EARLIEST <= time <= datetime.now(UTC) + FUTURE:
        raise ValueError("is out of range")
    return time


def _fitting(data: dict[str, Any]) -> dict[str, Any]:
    if found := trouble(data, "data", MAX_NESTING):
        raise ValueError(found[1])
    return data


Text = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]


class Event(BaseModel):
    """A transaction event in structured mode."""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    subject: Text
    time: Annotated[AwareDatetime, AfterValidator(_in_range)] | None = None
    datacontenttype: Literal["application/json"] | None = None
    dataschema: Annotated[str, AfterValidator(_printable)] | None = None
    traceparent: Annotated[str, Field(max_length=128)] | None = None
    data: Annotated[dict[str, Any], AfterValidator(_fitting)] = {}


Writer = Annotated[Principal, Depends(requires(Scope.EVENTS_WRITE))]


async def append(request: Request, principal: Principal, event: Event) -> None:
    """Send one event and wait until the log holds it."""
    await request.app.state.context.send_and_wait(
        Topic.EVENTS,
        event.model_dump_json(exclude_unset=True).encode(),
        key=Key(principal.workspace, event.subject).encode(),
    )


def routes(*, batch: bool) -> APIRouter:
    """POST /v1/events for single events, or for lists of them."""

    async def take_many(events: list[Event], principal: Writer, request: Request) -> dict[str, Any]:
        for event in events:
            await append(request, principal, event)
        return {"accepted": len(events)}

    async def take_one(event: Event, principal: Writer, request: Request) -> dict[str, Any]:
        await append(request, principal, event)
        where = f"/v1/decisions?source={quote(event.source, safe='')}&event={quote(event.id, safe='')}&wait=5s"
        return {
            "accepted": 1,
            "events": [{"source": event.source, "id": event.id, "decisions": where}],
        }

    router = APIRouter()
    router.post("/v1/events", status_code=202)(take_many if batch else take_one)
    return router


async def main() -> None:
    """Serve until SIGTERM."""
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=os.environ["AFTERWORD_LOG_URL"].removeprefix("kafka://"),
        acks="all",
        enable_idempotence=True,
    )
    async with producer:
        app = create_app(
            "plain",
            access=Access.load(Path(os.environ["AFTERWORD_ACCESS_FILE"])),
            context=producer,
            routers=[routes(batch=os.environ["BENCH_BATCH"] == "yes")],
            health=Health(started=True),
        )
        config = uvicorn.Config(
            app,
            port=int(os.environ["AFTERWORD_PORT"]),
            http="httptools",
            lifespan="off",
            access_log=False,
            log_level="warning",
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(main())
