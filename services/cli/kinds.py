"""Which service owns a kind of definition, and where the API keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OwnedKind:
    """A kind of definition as the API names it; `secret` says that its definitions may have a signing secret."""

    service: str
    plural: str
    secret: bool = False


KINDS: dict[str, OwnedKind] = {
    "survey": OwnedKind("ingest", "surveys"),
    "journey": OwnedKind("ingest", "journeys"),
    "unit": OwnedKind("ingest", "units"),
    "trigger": OwnedKind("trigger", "triggers"),
    "channel": OwnedKind("trigger", "channels", secret=True),
    "contact-policy": OwnedKind("trigger", "contact-policies"),
    "alert-rule": OwnedKind("alerting", "alert-rules"),
    "endpoint": OwnedKind("alerting", "endpoints", secret=True),
}

OWNERS = ("ingest", "trigger", "alerting")
"""The order to apply in: what is referred to comes first."""

BUILT_IN = frozenset({("channel", "link"), ("contact-policy", "default")})
"""What always exists without a definition."""
