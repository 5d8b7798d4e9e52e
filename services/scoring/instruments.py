"""What scoring alone is measured by: what it counted, and how soon."""

from typing import Final

from prometheus_client import Counter

from shared.histograms import Histogram
from shared.instruments import LATENCY_SECONDS

COUNTED: Final = Counter(
    "afterword_responses_counted_total",
    "Revisions of responses that scores took in; replays and older ones are not among them.",
)
ANSWERED_TO_SCORED: Final = Histogram(
    "afterword_answered_to_scored_seconds",
    "From an answer, its edit or its deletion, as ingest stored it, to the scores that count it.",
    buckets=LATENCY_SECONDS,
)

ANSWERED_TO_SCORED.labels()
