"""What the API and the receiver of webhooks showed of a workspace: the half of the truth that is checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """What became of an event for a trigger."""

    event: str
    trigger: str | None
    outcome: str
    why: str


@dataclass(frozen=True)
class Invitation:
    """Who was asked about which transaction."""

    id: str
    customer: str
    transaction: str


@dataclass(frozen=True)
class Response:
    """An answer as ingest holds it."""

    id: str
    invitation: str
    customer: str | None
    score: int
    state: str


@dataclass(frozen=True)
class Score:
    """The NPS over all of them."""

    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Alert:
    """An alert about a response."""

    id: str
    response: str


@dataclass(frozen=True)
class Hook:
    """A webhook as it arrived; `genuine` when its signature is, `taken` when it was answered 2xx."""

    id: str
    alert: str
    body: bytes
    genuine: bool
    taken: bool = True


@dataclass(frozen=True)
class Seen:
    """What the API and the receiver showed once everything had come to rest."""

    decisions: Sequence[Decision]
    invitations: Sequence[Invitation]
    responses: Sequence[Response]
    score: Score | None
    alerts: Sequence[Alert]
    hooks: Sequence[Hook]
    dead: Mapping[str, int]
    """Dead letters by service."""
    foreign: int = 0
    """How many rows another workspace was shown."""
