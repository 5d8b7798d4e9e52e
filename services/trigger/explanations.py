"""Says in one English sentence why a decision is what it is, from its last step. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.trigger.verdicts import Outcome, Reason, Step

_OUTCOMES: dict[str, str] = {
    Outcome.INVITED: "The customer was invited.",
    Outcome.NO_TRIGGER: "No trigger of this workspace listens to events of type {type}.",
    Outcome.DEAD_LETTERED: "The event could not be handled and stands among the dead letters: {problem}.",
}

_REASONS: dict[str, str] = {
    Reason.DELAY: "The trigger waits: the decision is made at {until}.",
    Reason.WAITING_FOR_CUSTOMERS: "The latest changes of customers have not been read yet; a stop among them would be missed.",
    Reason.WAITING_FOR_SURVEY: "The trigger is new and its survey {survey!r} has not arrived here yet.",
    Reason.BEFORE_ACTIVE: "The event arrived before the trigger became active at {active_from}.",
    Reason.TOO_OLD: "The event was {age_seconds} s old and the trigger's max_age is {max_age_seconds} s.",
    Reason.NO_TRANSACTION: "The event has no usable value at {path}, which names the transaction.",
    Reason.SAME_TRANSACTION: "Decision {decision} is already about the transaction {transaction!r}.",
    Reason.NOT_SAMPLED: "The customer is outside the sample: {share} is not below {sample}.",
    Reason.ERASED: "The customer was erased.",
    Reason.OPTED_OUT: "The customer does not want to be asked.",
    Reason.UNKNOWN_SURVEY: "There is no published survey {survey!r}.",
    Reason.UNKNOWN_CHANNEL: "There is no channel {channel!r}.",
    Reason.UNKNOWN_CONTACT_POLICY: "There is no contact policy {contact_policy!r}.",
    Reason.CHANNEL_NEEDS_WALL_CLOCK: "The workspace replays history (clock: event), where the channel {channel!r} may not send.",
    Reason.CONTACT_POLICY: (
        "The customer was invited at {last_invited_at}, and the contact policy {contact_policy!r} lets nobody ask"
        " again before {until}."
    ),
    Reason.TRIGGER_DELETED: "The trigger was deleted before the decision was released.",
    Reason.CANCEL_ON: "The transaction {transaction!r} was cancelled by {event}.",
}


def why(outcome: str, reason: str | None, trace: Sequence[Step], **known: Any) -> str:
    """The sentence for a decision; `known` names what is not in the trace."""
    last: Mapping[str, Any] = trace[-1] if trace else {}
    if reason == Reason.CONDITION:
        return _condition(last)
    if reason == Reason.PAUSED:
        held = outcome == Outcome.PENDING
        return (
            "The trigger is paused; the decision is held."
            if held
            else "The trigger was paused when the event arrived."
        )
    text = _OUTCOMES.get(outcome) or _REASONS.get(reason or "", "No reason was recorded.")
    return text.format_map(_Filled(known | dict(last)))


class _Filled(dict[str, Any]):
    """Steps written by an older version may lack a field."""

    def __missing__(self, key: str) -> str:
        return "unknown"


def _condition(step: Mapping[str, Any]) -> str:
    if unknown := step.get("unknown"):
        return f"The condition cannot be answered, so it does not match: {'; '.join(unknown)}."
    return "The condition does not match; the explanation in the trace says which part."
