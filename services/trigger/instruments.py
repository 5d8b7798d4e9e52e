"""What trigger alone is measured by: what was decided and why, what became of invitations, and how soon."""

from typing import Final, get_args

from prometheus_client import Counter

from services.trigger.verdicts import Outcome, Reason
from shared import webhook
from shared.contracts.values import InvitationState
from shared.histograms import Histogram
from shared.instruments import DELIVERY_ATTEMPTS, DELIVERY_SECONDS, LATENCY_SECONDS

DECISIONS: Final = Counter(
    "afterword_decisions_total",
    "Decisions about events, by outcome and reason; one that was pending counts again once it has ended.",
    ["outcome", "reason"],
)
INVITATIONS: Final = Counter(
    "afterword_invitations_total", "Invitations by the state they reached.", ["state"]
)
ACCEPTED_TO_INVITED: Final = Histogram(
    "afterword_accepted_to_invited_seconds",
    "From the log's taking an event to its invitation, where nobody asked for a delay.",
    buckets=LATENCY_SECONDS,
)
DUE_TO_INVITED: Final = Histogram(
    "afterword_due_to_invited_seconds",
    "From the end of a delay or a pause to the invitation.",
    buckets=LATENCY_SECONDS,
)

_PENDING: Final = (
    Reason.DELAY,
    Reason.WAITING_FOR_CUSTOMERS,
    Reason.WAITING_FOR_SURVEY,
)

for _outcome in (Outcome.INVITED, Outcome.NO_TRIGGER, Outcome.DEAD_LETTERED):
    DECISIONS.labels(_outcome, "")
for _reason in Reason:
    if _reason in _PENDING:
        DECISIONS.labels(Outcome.PENDING, _reason)
    elif _reason is Reason.CANCEL_ON:
        DECISIONS.labels(Outcome.CANCELLED, _reason)
    else:
        DECISIONS.labels(Outcome.SUPPRESSED, _reason)
for _state in InvitationState:
    INVITATIONS.labels(_state)
ACCEPTED_TO_INVITED.labels()
DUE_TO_INVITED.labels()
for _attempt in get_args(webhook.Outcome):
    DELIVERY_ATTEMPTS.labels("trigger", _attempt)
DELIVERY_SECONDS.labels("trigger")
