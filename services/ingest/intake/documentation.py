"""How POST /v1/events stands in the OpenAPI document, though the application never sees a request of it."""

from typing import Any

import msgspec
from fastapi import FastAPI

from services.ingest.rules.binding import BATCH, STRUCTURED
from services.ingest.rules.requests import MAX_ITEMS
from shared.contracts.events import Event

_EXAMPLE = {
    "specversion": "1.0",
    "id": "order-1001-paid",
    "source": "/shop",
    "type": "shop.purchase.completed",
    "subject": "customer-17",
    "time": "2026-03-01T10:00:00+08:00",
    "data": {"order_no": "1001", "amount": 129.5, "store": "sh-01"},
}
_EVENT = {"$ref": "#/components/schemas/Event"}
_EVENTS = {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": MAX_ITEMS}


def document_events(app: FastAPI) -> None:
    """Add the route to what the application says of itself."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        if "/v1/events" not in document["paths"]:
            _, components = msgspec.json.schema_components(
                [Event], ref_template="#/components/schemas/{name}"
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
            document["paths"]["/v1/events"] = {"post": _operation()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def _operation() -> dict[str, Any]:
    refused = {"type": "array", "items": {"type": "object"}}
    answer = {
        "type": "object",
        "required": ["accepted"],
        "properties": {"accepted": {"type": "integer"}, "events": refused, "refused": refused},
    }
    problem: dict[str, Any] = {"content": {"application/problem+json": {}}}
    return {
        "tags": ["events"],
        "summary": "Post Events",
        "operationId": "ingest_post_events",
        "description": (
            "Take in CloudEvents 1.0: structured, batched, or binary (attributes in `ce-*` headers, data in the body)."
            " 202 once the log holds them; `events` says where the decision will be. One bad event refuses its batch"
            " whole, with every bad one listed by index; `?invalid=report` takes the good ones and lists the bad."
            " Of an attribute given twice the last counts. `source` and `id` name an event: sending it again is harmless."
        ),
        "parameters": [
            {
                "name": "invalid",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "enum": ["report"]},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                STRUCTURED: {"schema": _EVENT, "example": _EXAMPLE},
                BATCH: {"schema": _EVENTS, "example": [_EXAMPLE]},
                "application/json": {"schema": {"oneOf": [_EVENT, _EVENTS]}, "example": _EXAMPLE},
            },
        },
        "responses": {
            "202": {
                "description": "The log holds the events",
                "content": {"application/json": {"schema": answer}},
            },
            "400": {"description": "Not JSON", **problem},
            "401": {"description": "No valid key", **problem},
            "403": {"description": "A key without events:write", **problem},
            "413": {"description": "Too large", **problem},
            "415": {"description": "Neither CloudEvents nor JSON", **problem},
            "422": {
                "description": "Events that cannot be taken, each with its index and field",
                **problem,
            },
            "503": {
                "description": "Not acknowledged in time, or overloaded: send it again",
                **problem,
            },
        },
    }
