"""Which service answers a path: the one map behind `dev`, the origin in front of four processes, and gateways."""

SERVICES = ("ingest", "trigger", "scoring", "alerting")

PREFIXES: dict[str, str] = {
    "/v1/events": "ingest",
    "/v1/customers": "ingest",
    "/v1/surveys": "ingest",
    "/v1/journeys": "ingest",
    "/v1/units": "ingest",
    "/v1/responses": "ingest",
    "/s": "ingest",
    "/v1/triggers": "trigger",
    "/v1/channels": "trigger",
    "/v1/contact-policies": "trigger",
    "/v1/decisions": "trigger",
    "/v1/invitations": "trigger",
    "/v1/scores": "scoring",
    "/v1/alert-rules": "alerting",
    "/v1/endpoints": "alerting",
    "/v1/alerts": "alerting",
    "/v1/deliveries": "alerting",
} | {
    prefix: service
    for service in SERVICES
    for prefix in (
        f"/v1/apply/{service}",
        f"/v1/operations/{service}",
        f"/v1/openapi/{service}.json",
    )
}


def service_of(path: str) -> str | None:
    """The service of a path by its longest prefix of whole segments, None for what nobody answers."""
    while path:
        if service := PREFIXES.get(path):
            return service
        path = path.rpartition("/")[0]
    return None
