"""A migrated database of trigger, its handlers, and records as the log would hand them over."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.trigger.definitions import kinds
from services.trigger.invitations import Maker
from services.trigger.main import SCHEMA
from services.trigger.release import Releases
from services.trigger.store import customers as customer_store
from services.trigger.store.rulebooks import Rulebooks
from services.trigger.tables import definitions, outbox
from services.trigger.worker import Handlers
from shared.auth import Access
from shared.contracts.envelope import Received, decode_transaction_event
from shared.contracts.messages import CustomerChanged, DefinitionChanged, ResponseChanged
from shared.contracts.topics import Topic
from shared.contracts.values import DefinitionState
from shared.db import Database, now, open_database
from shared.definitions.documents import read_document
from shared.definitions.store import put_definitions
from shared.log import Record
from shared.schema import migrate, refuse_wrong_schema
from shared.tokens import KeyRing
from tests.support import TOKEN_KEYS, write_access

KINDS = {kind.name: kind for kind in kinds(allow_loopback=True)}
SURVEY = {"title": {"en": "Your purchase"}, "questions": []}


@dataclass
class Bench:
    """One replica of trigger without its loops: handlers and due-time work, called by the test."""

    database: Database
    access: Access
    handlers: Handlers
    releases: Releases
    offset: int = 0
    revisions: dict[tuple[str, str], int] = field(default_factory=dict)

    def event(
        self,
        id: str = "e1",
        customer: str = "ann",
        *,
        workspace: str = "acme",
        source: str = "/shop",
        type: str = "paid",
        data: Mapping[str, Any] | None = None,
        time: datetime | None = None,
        arrived_at: datetime | None = None,
    ) -> Received[Any]:
        """A record of the events topic, decoded."""
        body = {"specversion": "1.0", "id": id, "source": source, "type": type, "subject": customer}
        body |= {"data": dict(data or {"order_no": id, "amount": 10})}  # type: ignore[dict-item]
        if time is not None:
            body["time"] = time.isoformat()
        record = self._record(
            Topic.EVENTS, f"{workspace}/{customer}", json.dumps(body).encode(), arrived_at
        )
        return decode_transaction_event(record)

    def customer(
        self, id: str, *, workspace: str = "acme", revision: int | None = None, **fields: Any
    ) -> Received[Any]:
        """A change of a customer; each is newer than the one before unless `revision` says otherwise."""
        key = (workspace, id)
        self.revisions[key] = revision or self.revisions.get(key, 0) + 1
        message = CustomerChanged(
            id=id, revision=self.revisions[key], changed_at=datetime.now(UTC), **fields
        )
        return Received(
            workspace,
            id,
            message,
            self._record(Topic.CUSTOMERS, f"{workspace}/{id}", b"{}", None),
            None,
        )

    def copy(
        self,
        kind: str,
        id: str,
        document: Mapping[str, Any] = SURVEY,
        *,
        workspace: str = "acme",
        state: DefinitionState = "published",
        revision: int = 1,
    ) -> Received[Any]:
        """A definition of another service, as announced."""
        message = DefinitionChanged(
            revision=revision,
            kind=kind,
            id=id,
            state=state,
            document=dict(document),
            active_from=datetime.now(UTC),
            changed_by="test",
        )
        record = self._record(Topic.DEFINITIONS, f"{workspace}/{kind}/{id}", b"{}", None)
        return Received(workspace, f"{kind}/{id}", message, record, None)

    def response(self, invitation: str, *, workspace: str = "acme", **fields: Any) -> Received[Any]:
        """A response to an invitation."""
        at = datetime.now(UTC)
        values = {
            "id": f"r-{invitation}",
            "revision": 1,
            "state": "submitted",
            "survey": "s",
            "survey_version": 1,
            "invitation": invitation,
            "day": at.date(),
            "submitted_at": at,
            "changed_at": at,
        }
        record = self._record(Topic.RESPONSES, f"{workspace}/x", b"{}", None)
        return Received(
            workspace, "x", ResponseChanged.model_validate(values | fields), record, None
        )

    def _record(self, topic: Topic, key: str, value: bytes, at: datetime | None) -> Record:
        self.offset += 1
        stamp = int((at or datetime.now(UTC)).timestamp() * 1000)
        return Record(topic, 0, self.offset, key.encode(), value, (), stamp)

    async def put(
        self, kind: str, id: str, document: Mapping[str, Any], *, workspace: str = "acme"
    ) -> None:
        """Put a definition as the API does."""
        wish, errors = read_document(KINDS[kind], id, dict(document))
        assert wish is not None, errors
        async with self.database.begin() as tx:
            await put_definitions(
                tx,
                definitions,
                outbox,
                workspace,
                [wish],
                source="trigger",
                by="test",
                at=await now(tx),
            )

    async def trigger(self, id: str = "after", *, workspace: str = "acme", **fields: Any) -> None:
        """Put a trigger on `paid` that asks survey `s`, with these fields changed."""
        await self.put("trigger", id, {"on": "paid", "survey": "s"} | fields, workspace=workspace)

    async def survey(self, id: str = "s", *, workspace: str = "acme") -> None:
        await self.handlers.definitions([self.copy("survey", id, workspace=workspace)])

    async def set_fresh(self, ago: timedelta = timedelta(0)) -> None:
        """Say that the customers were read up to that long ago."""
        async with self.database.begin() as tx:
            await tx.execute(sa.text("DELETE FROM freshness"))
            await customer_store.save_freshness(tx, Topic.CUSTOMERS, await now(tx) - ago)

    async def rows(self, table: str, order: str = "1") -> list[Any]:
        async with self.database.read() as tx:
            return list(
                (await tx.execute(sa.text(f"SELECT * FROM {table} ORDER BY {order}"))).all()
            )

    async def outcomes(self) -> dict[tuple[str, str], tuple[str, str | None]]:
        """Outcome and reason by event and trigger."""
        return {
            (row.event, row.trigger): (row.outcome, row.reason)
            for row in await self.rows("decisions", "id")
        }

    async def make_due(self) -> None:
        """As if every pending decision's time had come."""
        async with self.database.begin() as tx:
            await tx.execute(
                sa.text(
                    "UPDATE decisions SET due_at = decided_at, leased_until = NULL WHERE outcome = 'pending' AND due_at IS NOT NULL"
                )
            )

    async def release(self) -> None:
        """Let all pending decisions come due, and release them."""
        await self.make_due()
        while await self.releases.release():
            pass


OpenBench = Callable[[], Any]


@asynccontextmanager
async def open_bench(
    database_url: str, access: Access, *, migrated: bool = True
) -> AsyncIterator[Bench]:
    """Open one replica on a database."""
    async with open_database(database_url, "trigger") as database:
        if not migrated:
            await migrate(database, SCHEMA)
        await refuse_wrong_schema(database, SCHEMA)
        handlers = Handlers(
            database, access, Maker(KeyRing.parse(TOKEN_KEYS), "https://ask.example"), Rulebooks()
        )
        yield Bench(database, access, handlers, Releases(handlers))


@pytest.fixture
def access(tmp_path: Path) -> Access:
    """Three workspaces, one of which replays history."""
    path = tmp_path / "access.yaml"
    write_access(path, {"acme": {}, "other": {}, "past": {"clock": "event"}})
    return Access.load(path)


@pytest.fixture
async def bench(database_url: str, access: Access) -> AsyncIterator[Bench]:
    """A replica with a known survey and up-to-date customers, on both databases."""
    async with open_bench(database_url, access) as bench:
        await bench.set_fresh()
        for workspace in ("acme", "other", "past"):
            await bench.survey(workspace=workspace)
        yield bench


def ids(rows: Sequence[Any]) -> list[str]:
    return [row.id for row in rows]
