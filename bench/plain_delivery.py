"""The baseline of the delivery: workers that each lock one due row, POST it with httpx, and write down what came of it.

One transaction for each delivery, as one would write it first; the tables and the signature are the same.
"""

import asyncio
import os
from datetime import datetime
from typing import Any

import httpx
import uvloop
from sqlalchemy import LargeBinary, func, select
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.webhook import sign

WORKERS = 16
_POLL_SECONDS = 0.1


class Base(DeclarativeBase):
    """What is mapped."""

    type_annotation_map = {datetime: TIMESTAMP(timezone=True), dict[str, Any]: JSONB}


class Delivery(Base):
    """A message on its way to an endpoint."""

    __tablename__ = "deliveries"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint: Mapped[str]
    message: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    spent: Mapped[int]
    due_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class Message(Base):
    """What is sent."""

    __tablename__ = "messages"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class Definition(Base):
    """An endpoint."""

    __tablename__ = "definitions"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]]


class Secret(Base):
    """What signs for an endpoint."""

    __tablename__ = "endpoint_secrets"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    secret: Mapped[str]


class Attempt(Base):
    """What came of one POST."""

    __tablename__ = "attempts"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    delivery: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    outcome: Mapped[str]
    status: Mapped[int]
    body: Mapped[str]
    duration_ms: Mapped[int]


async def deliver_one(session: AsyncSession, client: httpx.AsyncClient) -> bool:
    """Send one delivery that is due; False when none is."""
    due = select(Delivery).where(Delivery.state == "pending", Delivery.due_at <= func.now())
    first = due.order_by(Delivery.workspace, Delivery.endpoint, Delivery.due_at).limit(1)
    delivery = (await session.scalars(first.with_for_update(skip_locked=True))).first()
    if delivery is None:
        return False
    workspace, endpoint = delivery.workspace, delivery.endpoint
    message = await session.get_one(Message, (workspace, delivery.message))
    target = await session.get_one(Definition, (workspace, "endpoint", endpoint))
    secret = await session.get_one(Secret, (workspace, endpoint, 1))
    at = (await session.scalars(select(func.clock_timestamp()))).one()
    headers = sign([secret.secret], message.id, int(at.timestamp()), message.body)
    headers["content-type"] = "application/json"
    answer = await client.post(target.document["url"], content=message.body, headers=headers)
    delivery.attempts += 1
    delivery.spent += 1
    delivery.changed_at = at
    if answer.is_success:
        delivery.state = "delivered"
    session.add(
        Attempt(
            workspace=workspace,
            delivery=delivery.id,
            number=delivery.attempts,
            at=at,
            outcome="delivered" if answer.is_success else "rejected",
            status=answer.status_code,
            body=answer.text[:1_000],
            duration_ms=round(answer.elapsed.total_seconds() * 1_000),
        )
    )
    return True


async def main() -> None:
    """Deliver until SIGTERM."""
    url = os.environ["AFTERWORD_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
    settings = {"search_path": "alerting", "application_name": "afterword-plain"}
    arguments = {"server_settings": settings}
    engine = create_async_engine(url, pool_size=WORKERS, connect_args=arguments)
    sessions = async_sessionmaker(engine)

    async def work(client: httpx.AsyncClient) -> None:
        while True:
            async with sessions.begin() as session:
                sent = await deliver_one(session, client)
            if not sent:
                await asyncio.sleep(_POLL_SECONDS)

    async with httpx.AsyncClient(timeout=15) as client:
        await asyncio.gather(*(work(client) for _ in range(WORKERS)))


if __name__ == "__main__":
    uvloop.run(main())
