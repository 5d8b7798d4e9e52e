"""The ingest service with a survey in it, as customers and apps meet it: links, forms, invitations, announcements."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from pydantic import SecretStr

from services.ingest.main import open_service
from services.ingest.settings import Settings
from services.ingest.store.invitations import decode_invitation
from services.ingest.tables import metadata, outbox, responses
from services.ingest.worker import InvitationCopies
from shared.auth import Access
from shared.contracts.envelope import Received, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import InvitationChanged
from shared.contracts.topics import topic_specs
from shared.contracts.values import CustomerSnapshot, Dimension, InvitationState, Transaction
from shared.db import Database, open_database
from shared.log import Record
from shared.log.opening import open_log
from shared.tokens import KeyRing, Token
from tests.support import TOKEN_KEYS, write_access

SURVEY: dict[str, Any] = {
    "title": {"en": "Your purchase", "zh": "您的购买"},
    "questions": [
        {
            "id": "recommend",
            "kind": "nps",
            "text": {"en": "Would you recommend us?", "zh": "您会推荐我们吗？"},
        },
        {
            "id": "comment",
            "kind": "text",
            "show_if": {"path": "answers.recommend", "lte": 8},
            "text": {"en": "What should we do better?", "zh": "我们怎样可以做得更好？"},
            "max_length": 50,
        },
    ],
}
SHANGHAI = "Asia/Shanghai"
EVENING = datetime(2026, 3, 1, 20, 30, tzinfo=UTC)
"""The next day in Shanghai."""


@dataclass
class Desk:
    """The open service: a browser without JavaScript, an app per workspace, and a look behind the counter."""

    browser: httpx.AsyncClient
    keys: dict[str, str]
    database: Database
    access: Access
    ring: KeyRing
    told: list[dict[str, Any]] = field(default_factory=list)

    def token(
        self, invitation: str, *, workspace: str = "acme", survey: str = "buy", days: float = 14
    ) -> str:
        expires = datetime.now(UTC) + timedelta(days=days)
        return self.ring.sign(Token(workspace, survey, invitation, expires))

    async def api(
        self, method: str, path: str, *, workspace: str = "acme", **options: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.keys[workspace]}"}
        return await self.browser.request(method, path, headers=headers, **options)

    async def put_survey(self, document: dict[str, Any] = SURVEY, id: str = "buy") -> None:
        answer = await self.api("PUT", f"/v1/surveys/{id}", json=document)
        assert answer.status_code in (200, 201), answer.text

    async def hear(self, *invitations: InvitationChanged, workspace: str = "acme") -> None:
        """Let the worker handle a batch of these."""
        await InvitationCopies(self.database, self.access).handle(
            [received(invitation, workspace) for invitation in invitations]
        )

    async def answer(self, token: str, **fields: Any) -> httpx.Response:
        return await self.browser.post(f"/s/{token}", data=fields)

    async def announced(self, kind: str = "response") -> list[dict[str, Any]]:
        """All that waits in the outbox of a kind, in order."""
        async with self.database.read() as tx:
            rows = (await tx.execute(sa.select(outbox).order_by(outbox.c.id))).all()
        messages = [json.loads(row.value) | {"key": bytes(row.key).decode()} for row in rows]
        return [each for each in messages if each["type"] == f"afterword.{kind}.changed"]

    async def stored(self) -> list[sa.Row[Any]]:
        async with self.database.read() as tx:
            return list((await tx.execute(sa.select(responses))).all())

    async def everything(self) -> dict[str, list[Any]]:
        """Every row of every table, to see that nothing changed."""
        async with self.database.read() as tx:
            return {
                table.name: sorted(map(repr, (await tx.execute(sa.select(table))).all()))
                for table in metadata.sorted_tables
                if table.name != "leases"
            }


def invitation(
    id: str, *, revision: int = 1, state: str = "sent", **fields: Any
) -> InvitationChanged:
    """An invitation about a purchase in the evening of 1 March, UTC."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "trigger": "after-purchase",
        "survey": "buy",
        "channel": "link",
        "journey": "buy",
        "touchpoint": "checkout",
        "customer": CustomerSnapshot(id="c-1", attributes={"tier": "gold", "note": None}),
        "transaction": Transaction(
            source="/shop",
            id="o-1",
            type="shop.purchase",
            time=EVENING,
            data={"amount": 12.5, "gift": None},
        ),
        "dimensions": {"org": Dimension(value="s12", path="cn/east/s12")},
        "link": "https://feedback.example.com/s/secret",
        "made_at": now,
        "expires_at": now + timedelta(days=14),
        "changed_at": now,
    }
    return InvitationChanged(
        id=id, revision=revision, state=InvitationState(state), **(values | fields)
    )


def received(message: InvitationChanged, workspace: str = "acme") -> Received[Any]:
    """The invitation as the worker's loop hands it on."""
    out = encode_message(
        Key(workspace, "c-1"),
        message,
        id="e",
        source="trigger",
        time=message.changed_at,
        traceparent=None,
    )
    record = Record(out.topic, 0, 0, out.key, out.value, (), 1_700_000_000_000)
    found = decode_invitation(record)
    assert found is not None
    return found


@asynccontextmanager
async def open_desk(database_url: str, tmp_path: Path, **settings: Any) -> AsyncIterator[Desk]:
    """The service on a migrated database, with the survey `buy` published; acme is in Shanghai."""
    access_file = tmp_path / "access.yaml"
    keys = write_access(access_file, {"acme": {"time_zone": SHANGHAI}, "other": {}})
    made = Settings(
        log_url=f"sqlite:///{tmp_path / 'log'}",
        database_url=database_url,
        public_url="https://feedback.example.com",
        access_file=access_file,
        token_keys=SecretStr(TOKEN_KEYS),
        **settings,
    )
    access = Access.load(access_file)
    async with open_log(made.log_url) as log, open_database(database_url, "ingest") as database:
        database.gate = None
        await log.create_topics(topic_specs())
        async with open_service(made, log, access) as service:
            transport = httpx.ASGITransport(app=service.app)
            base = "https://feedback.example.com"
            async with httpx.AsyncClient(transport=transport, base_url=base) as browser:
                desk = Desk(browser, keys, database, access, KeyRing.parse(TOKEN_KEYS))
                await desk.put_survey()
                yield desk
