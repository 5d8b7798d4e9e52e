"""What ingest alone is measured by: what came in by its doors, and what was turned away."""

from typing import Final

from prometheus_client import Counter

EVENTS_ACCEPTED: Final = Counter(
    "afterword_events_accepted_total", "Events that got a 202 or came by an inlet.", ["door"]
)
EVENTS_REFUSED: Final = Counter(
    "afterword_events_refused_total", "Events that were refused at the door as wrong.", ["door"]
)
RESPONSES: Final = Counter(
    "afterword_responses_total", "Responses taken in for the first time.", ["door"]
)
WRONG_TOKENS: Final = Counter(
    "afterword_wrong_tokens_total",
    "Survey links that are none of ours: answered as missing, or limited once their address tried too many.",
    ["answer"],
)

for _door in ("http", "inlet"):
    EVENTS_ACCEPTED.labels(_door)
    EVENTS_REFUSED.labels(_door)
for _door in ("page", "api"):
    RESPONSES.labels(_door)
for _answer in ("missing", "limited"):
    WRONG_TOKENS.labels(_answer)
