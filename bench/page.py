"""GET /s/{token} of the real ingest process against FastAPI + ORM + Jinja2, on the same rows of a real PostgreSQL.

Links that are opened at once share a look-up in the database; with one visitor at a time each has its own.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.events import purchase
from bench.results import Result
from bench.serving import WARM_SECONDS, Sample, load, middle, notes
from bench.system import Running, System, open_system
from services.cli.dev import WORKSPACE
from services.ingest.store.invitations import save_newer
from shared.contracts.envelope import Received
from shared.contracts.messages import InvitationChanged
from shared.contracts.values import CustomerSnapshot, Dimension, InvitationState, Transaction
from shared.db import open_database
from shared.log import Record
from shared.tokens import KeyRing, Token

ROUNDS = 3
GOAL = 1_000.0
INVITATIONS = 20_000
CONNECTIONS = 32
SURVEY = "purchase"
_SURVEY = {
    "title": {"en": "Your purchase", "zh": "您的购买"},
    "questions": [
        {
            "id": "recommend",
            "kind": "nps",
            "text": {
                "en": "How likely are you to recommend us to a friend?",
                "zh": "您向朋友推荐我们的可能性有多大？",
            },
        },
        {
            "id": "comment",
            "kind": "text",
            "show_if": {"path": "answers.recommend", "lte": 8},
            "text": {"en": "What should we do better?", "zh": "我们怎样可以做得更好？"},
        },
    ],
}


def run(seconds: float) -> list[Result]:
    """Measure both servers by turns; `seconds` is how long each stretch of load lasts."""
    many: dict[str, list[Sample]] = {"ours": [], "plain": []}
    one: dict[str, list[Sample]] = {"ours": [], "plain": []}
    with open_system() as system:
        ingest = system.serve("ingest")
        ingest.wait_until("/health/ready")
        ingest.request("PUT", f"/v1/surveys/{SURVEY}", _SURVEY)
        tokens = system.directory / "tokens"
        tokens.write_text("\n".join(asyncio.run(_invite(system))), encoding="ascii")
        plain = system.start(["bench.plain_page"], name="plain-page")
        plain.wait_until("/health/ready")
        for _ in range(ROUNDS):
            for samples, connections in ((many, CONNECTIONS), (one, 1)):
                for name, server in (("plain", plain), ("ours", ingest)):
                    samples[name].append(_load(system, server, tokens, connections, seconds))
    return [*_many(many["ours"], many["plain"]), _one(one["ours"], one["plain"])]


def _load(
    system: System, server: Running, tokens: Path, connections: int, seconds: float
) -> Sample:
    arguments = (tokens, connections, WARM_SECONDS, seconds)
    return load(system, server, "bench.page_load", arguments)


async def _invite(system: System) -> list[str]:
    """Put invitations into the copy as the service's worker does; the tokens of their links."""
    keys = KeyRing.parse(system.environment["AFTERWORD_TOKEN_KEYS"])
    at = datetime.now(UTC).replace(microsecond=0)
    messages = [_invitation(number, at) for number in range(INVITATIONS)]
    async with open_database(system.database_url, "ingest") as database:
        database.gate = None
        for start in range(0, INVITATIONS, 1_000):
            async with database.begin() as tx:
                await save_newer(tx, [_received(m) for m in messages[start : start + 1_000]])
    return [keys.sign(Token(WORKSPACE, SURVEY, m.id, m.expires_at)) for m in messages]


def _invitation(number: int, at: datetime) -> InvitationChanged:
    customer = f"customer-{number}"
    event = purchase(number, customer=customer)
    return InvitationChanged(
        revision=1,
        id=f"invitation-{number}",
        state=InvitationState.SENT,
        trigger="after-purchase",
        survey=SURVEY,
        channel="link",
        customer=CustomerSnapshot(id=customer, attributes={"tier": "gold", "city": "上海"}),
        transaction=Transaction(
            source=event["source"], id=event["id"], type=event["type"], time=at, data=event["data"]
        ),
        dimensions={"org": Dimension(value=event["data"]["store"], path=event["data"]["store"])},
        link="",
        made_at=at,
        expires_at=at + timedelta(days=14),
        changed_at=at,
    )


def _received(message: InvitationChanged) -> Received[InvitationChanged]:
    record = Record(message.TOPIC, 0, 0, None, None, (), 0)
    return Received(WORKSPACE, message.customer.id, message, record, None)


def _many(ours: list[Sample], plain: list[Sample]) -> list[Result]:
    return [
        Result(
            "page",
            f"survey pages, {CONNECTIONS} connections",
            "pages/s",
            middle(ours, "rate"),
            middle(plain, "rate"),
            GOAL,
            at_least=True,
            notes={"ours": notes(ours), "baseline": notes(plain)},
        ),
        Result(
            "page",
            "the same per second of CPU",
            "pages/s",
            middle(ours, "per_core"),
            middle(plain, "per_core"),
        ),
    ]


def _one(ours: list[Sample], plain: list[Sample]) -> Result:
    return Result(
        "page",
        "one visitor at a time, per second of CPU",
        "pages/s",
        middle(ours, "per_core"),
        middle(plain, "per_core"),
        notes={"ours": notes(ours), "baseline": notes(plain)},
    )
