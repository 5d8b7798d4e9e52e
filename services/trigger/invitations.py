"""Makes an invitation out of a decision: the link, the message, the row. Pure but for the signature of the link."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from services.trigger.definitions import LINK
from services.trigger.occasions import Occasion
from services.trigger.rulebook import Trigger
from shared.contracts.envelope import Encoded
from shared.contracts.lean import lean
from shared.contracts.messages import InvitationChanged
from shared.contracts.values import CustomerSnapshot, Dimension, InvitationState, Transaction
from shared.tokens import KeyRing, Token

_Invitation = lean(InvitationChanged)
_Customer = lean(CustomerSnapshot)
_Transaction = lean(Transaction)
_Dimension = lean(Dimension)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Made:
    """A new invitation: what it is about, what is announced and stored of it, and what the row repeats."""

    occasion: Occasion
    message: Encoded
    state: InvitationState
    channel: str
    made_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Maker:
    """Signs links for one public origin."""

    keys: KeyRing
    public_url: str

    def make(self, occasion: Occasion, trigger: Trigger, now: datetime) -> Made:
        """The invitation of a decision; it has the decision's id, so that there cannot be two. What is read by
        API counts as sent at once; a channel that sends begins with `made`."""
        made_at = now.replace(microsecond=now.microsecond // 1_000 * 1_000)
        expires_at = (now + trigger.expires).replace(microsecond=0)
        state = InvitationState.SENT if trigger.channel == LINK else InvitationState.MADE
        message = _Invitation(
            revision=1,
            id=occasion.decision,
            state=state,
            trigger=trigger.id,
            survey=trigger.survey,
            channel=trigger.channel,
            journey=trigger.journey,
            touchpoint=trigger.touchpoint,
            customer=_customer(occasion),
            transaction=_transaction(occasion, trigger),
            dimensions={
                name: _Dimension(value=each.value, path=each.path)
                for name, each in occasion.dimensions.items()
            },
            link=self._link(occasion, trigger, expires_at),
            made_at=made_at,
            expires_at=expires_at,
            changed_at=made_at,
        )
        announced = Encoded(InvitationChanged, msgspec.Raw(_encode(message)))
        return Made(occasion, announced, state, trigger.channel, made_at, expires_at)

    def _link(self, occasion: Occasion, trigger: Trigger, expires_at: datetime) -> str:
        token = Token(occasion.workspace, trigger.survey, occasion.decision, expires_at)
        return f"{self.public_url.rstrip('/')}/s/{self.keys.sign(token)}"


def _customer(occasion: Occasion) -> Any:
    """As it was; of a customer who could not be looked up the id is known."""
    customer = occasion.customer
    if customer is None:
        return _Customer(id=occasion.customer_id, attributes={})
    return _Customer(
        id=customer.id,
        attributes=customer.attributes,
        locale=customer.locale,
        time_zone=customer.time_zone,
    )


def _transaction(occasion: Occasion, trigger: Trigger) -> Any:
    return _Transaction(
        source=occasion.source,
        id=occasion.event,
        type=occasion.type,
        time=occasion.time,
        key=None if trigger.transaction is None else occasion.transaction_key,
        data=occasion.data,
    )


def invitation_rows(made: Sequence[Made]) -> list[dict[str, Any]]:
    """Invitations as they are stored."""
    return [
        {
            "workspace": each.occasion.workspace,
            "id": each.occasion.decision,
            "revision": 1,
            "state": each.state.value,
            "decision": each.occasion.decision,
            "source": each.occasion.source,
            "event": each.occasion.event,
            "trigger": each.occasion.trigger,
            "customer": each.occasion.customer_id,
            "channel": each.channel,
            "document": each.message.data,
            "contact": each.occasion.contact,
            "made_at": each.made_at,
            "expires_at": each.expires_at,
            "changed_at": each.made_at,
            "send_at": None if each.channel == LINK else each.made_at,
            "attempts": 0,
        }
        for each in made
    ]
