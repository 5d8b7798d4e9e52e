"""Makes an invitation out of a decision: the link, the message, the row. Pure but for the signature of the link."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.trigger.definitions import LINK
from services.trigger.occasions import Occasion, snapshot_of
from services.trigger.rulebook import Trigger
from shared.contracts.messages import InvitationChanged
from shared.contracts.values import InvitationState, Transaction
from shared.tokens import KeyRing, Token


@dataclass(frozen=True)
class Made:
    """A new invitation: of which workspace, what is announced, and how the customer may be reached."""

    workspace: str
    occasion: Occasion
    message: InvitationChanged


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
        token = Token(occasion.workspace, trigger.survey, occasion.decision, expires_at)
        message = InvitationChanged(
            revision=1,
            id=occasion.decision,
            state=InvitationState.SENT if trigger.channel == LINK else InvitationState.MADE,
            trigger=trigger.id,
            survey=trigger.survey,
            channel=trigger.channel,
            journey=trigger.journey,
            touchpoint=trigger.touchpoint,
            customer=occasion.customer or snapshot_of(None, occasion.customer_id),
            transaction=Transaction(
                source=occasion.source,
                id=occasion.event,
                type=occasion.type,
                time=occasion.time,
                key=None if trigger.transaction is None else occasion.transaction_key,
                data=dict(occasion.data),
            ),
            dimensions=dict(occasion.dimensions),
            link=f"{self.public_url.rstrip('/')}/s/{self.keys.sign(token)}",
            made_at=made_at,
            expires_at=expires_at,
            changed_at=made_at,
        )
        return Made(occasion.workspace, occasion, message)


def invitation_rows(made: Sequence[Made]) -> list[dict[str, Any]]:
    """Invitations as they are stored."""
    return [
        {
            "workspace": each.workspace,
            "id": each.message.id,
            "revision": each.message.revision,
            "state": str(each.message.state),
            "decision": each.occasion.decision,
            "source": each.occasion.source,
            "event": each.occasion.event,
            "trigger": each.message.trigger,
            "customer": each.occasion.customer_id,
            "channel": each.message.channel,
            "document": each.message.model_dump(mode="json", exclude_none=True),
            "contact": each.occasion.contact,
            "made_at": each.message.made_at,
            "expires_at": each.message.expires_at,
            "changed_at": each.message.changed_at,
            "send_at": None if each.message.channel == LINK else each.message.made_at,
            "attempts": 0,
        }
        for each in made
    ]
