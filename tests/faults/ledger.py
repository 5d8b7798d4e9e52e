"""What the clients of the laboratory did, and what they know of it: ok, failed, or unknown as after a lost answer."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """What a client knows of a call. A 503 or a lost connection is *unknown*: it may have had its effect."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"

    def then(self, later: "Fate") -> "Fate":
        """What is known after trying the same again: one success is one, and doubt is never taken back."""
        known = {self, later}
        return next(fate for fate in (Fate.OK, Fate.UNKNOWN, Fate.FAILED) if fate in known)


@dataclass
class Event:
    """A purchase that was posted, perhaps several times."""

    id: str
    customer: str
    transaction: str
    fate: Fate


@dataclass
class Answer:
    """A form that was posted to an invitation's link."""

    invitation: str
    score: int
    fate: Fate


@dataclass
class Ledger:
    """All that was done in one workspace, by the ids that make a repetition harmless."""

    events: dict[str, Event] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    statuses: Counter[int] = field(default_factory=Counter)
    """How often each HTTP status was the answer."""
    letters: Counter[str] = field(default_factory=Counter)
    """How many dead letters of this workspace are to be in each service, of poison that was sent on purpose."""

    notes: dict[str, float] = field(default_factory=dict)
    """What was measured on the way, by name."""

    def posted(self, id: str, customer: str, transaction: str, fate: Fate) -> None:
        """Write down one posting of an event."""
        self.calls[fate] += 1
        known = self.events.get(id)
        if known is None:
            self.events[id] = Event(id, customer, transaction, fate)
        else:
            known.fate = known.fate.then(fate)

    def answered(self, invitation: str, score: int, fate: Fate) -> None:
        """Write down one posting of the form; repeating it with the same score changes nothing."""
        self.calls[fate] += 1
        known = self.answers.get(invitation)
        if known is None:
            self.answers[invitation] = Answer(invitation, score, fate)
        else:
            known.fate = known.fate.then(fate)
