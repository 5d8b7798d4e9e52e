"""Spans of database transactions, below that of the request or the batch they are of."""

from shared.telemetry import current_traceparent
from shared.tracing import UNTRACED, Span, recording, start, well_formed


def transaction(service: str, dialect: str) -> Span:
    """Begin one; it is recorded if what it is for is, and begins no trace."""
    if not recording():
        return UNTRACED
    parent = current_traceparent()
    if parent is None or not well_formed(parent):
        return UNTRACED
    told = {"db.system.name": dialect, "db.namespace": service}
    return start(service, "transaction", "client", parent, told)
