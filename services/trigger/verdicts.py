"""The words of deciding: outcomes, reasons, and the values that rules take and give."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from shared.contracts.messages import CustomerChanged

CONSENT: Final = "surveys"
"""The consent that says whether a customer may be asked at all."""


class Outcome(StrEnum):
    """What became of an event for a trigger; `no_trigger` and `dead_lettered` are of the event alone."""

    PENDING = "pending"
    INVITED = "invited"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    NO_TRIGGER = "no_trigger"
    DEAD_LETTERED = "dead_lettered"


class Reason(StrEnum):
    """Why a decision is not an invitation; `explanations.py` says each in a sentence."""

    DELAY = "delay"
    WAITING_FOR_CUSTOMERS = "waiting_for_customers"
    WAITING_FOR_SURVEY = "waiting_for_survey"
    PAUSED = "paused"
    BEFORE_ACTIVE = "before_active"
    TOO_OLD = "too_old"
    CONDITION = "condition"
    NO_TRANSACTION = "no_transaction"
    SAME_TRANSACTION = "same_transaction"
    NOT_SAMPLED = "not_sampled"
    ERASED = "erased"
    OPTED_OUT = "opted_out"
    UNKNOWN_SURVEY = "unknown_survey"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_CONTACT_POLICY = "unknown_contact_policy"
    CHANNEL_NEEDS_WALL_CLOCK = "channel_needs_wall_clock"
    CONTACT_POLICY = "contact_policy"
    TRIGGER_DELETED = "trigger_deleted"
    CANCEL_ON = "cancel_on"


Step = dict[str, Any]
HoldKey = tuple[str, str, str]
"""Workspace, trigger, transaction."""
CustomerKey = tuple[str, str]
"""Workspace, customer."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is decided. `fresh` says that the customers have been read up to now, give or take 30 s."""

    now: datetime
    fresh: bool
    release: bool = False
    event_clocks: frozenset[str] = frozenset()
    """The workspaces whose contact clocks go by the events' own time."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The contact clock of a customer; `at` is the furthest event time seen, where events set the clock."""

    last_invited_at: datetime | None = None
    last_invitation: str | None = None
    at: datetime | None = None


@dataclass
class Ledger:
    """What earlier decisions left behind, and what those of this batch add, in log order."""

    holds: dict[HoldKey, str] = field(default_factory=dict)
    cancelled: dict[HoldKey, str] = field(default_factory=dict)
    clocks: dict[CustomerKey, Clock] = field(default_factory=dict)
    customers: Mapping[CustomerKey, CustomerChanged] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided and how; `due_at` is when a pending decision is looked at again, None while it is held."""

    outcome: Outcome
    reason: Reason | None
    steps: list[Step]
    due_at: datetime | None = None
