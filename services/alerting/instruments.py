"""What alerting alone is measured by: what was announced, what became of deliveries, and how soon."""

from typing import Final, get_args

from prometheus_client import Counter

from shared.histograms import Histogram
from shared.instruments import DELIVERY_ATTEMPTS, DELIVERY_SECONDS, LATENCY_SECONDS
from shared.webhook import Outcome

ALERTS: Final = Counter("afterword_alerts_total", "Alerts by what was announced.", ["type"])
DELIVERIES: Final = Counter(
    "afterword_deliveries_total",
    "Deliveries that ended: delivered, exhausted (every attempt failed), or gone (the receiver answered 410).",
    ["outcome"],
)
ENDPOINTS_PAUSED: Final = Counter(
    "afterword_endpoints_paused_total",
    "Endpoints paused because their receiver answered 410.",
)
ANSWERED_TO_DELIVERED: Final = Histogram(
    "afterword_answered_to_delivered_seconds",
    "From an answer, as ingest stored it, to the delivery of its alert, for deliveries that arrived at their first"
    " attempt; what waited for an endpoint that was paused is not among them.",
    buckets=LATENCY_SECONDS,
)

for _type in ("alert.raised", "alert.withdrawn"):
    ALERTS.labels(_type)
for _outcome in ("delivered", "exhausted", "gone"):
    DELIVERIES.labels(_outcome)
ANSWERED_TO_DELIVERED.labels()
for _attempt in get_args(Outcome):
    DELIVERY_ATTEMPTS.labels("alerting", _attempt)
DELIVERY_SECONDS.labels("alerting")
