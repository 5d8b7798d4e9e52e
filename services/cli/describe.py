"""Writes down what the code itself says: OpenAPI of every service, AsyncAPI of the topics, metrics and dashboards.

`python -m services.cli.describe [ROOT]` (by default here); a test fails when the files are stale.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from services.cli.dashboards import dashboards
from services.cli.dev import WORKSPACE, open_embedded, prepare
from services.cli.registry import metrics_page
from shared.contracts.events import Event
from shared.contracts.messages import MESSAGES
from shared.contracts.topics import READERS, WRITERS, Topic, topic_specs
from shared.http.app import VERSION

_DASHBOARDS = "k8s/components/monitoring/dashboards"
_SCHEMAS = "#/components/schemas/"


async def describe() -> dict[str, str]:
    """The text of each file by its path."""
    files = {"docs/api/asyncapi.json": _text(asyncapi()), "docs/operate/metrics.md": metrics_page()}
    files |= {f"{_DASHBOARDS}/{name}.json": _text(board) for name, board in dashboards().items()}
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        prepare(data, {WORKSPACE: {}})
        async with open_embedded(data, "http://127.0.0.1:8000") as system:
            for service in system.services:
                files[f"docs/api/openapi-{service.name}.json"] = _text(
                    application_of(service.app).openapi()
                )
    return files


def application_of(app: Any) -> FastAPI:
    """The FastAPI application inside whatever stands in front of it."""
    while not isinstance(app, FastAPI):
        app = app.app
    return app


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: channels are topics, messages are CloudEvents in structured JSON."""
    specs = {spec.name: spec for spec in topic_specs()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Afterword messages",
            "version": VERSION,
            "description": "CloudEvents 1.0, structured JSON. The key is workspace/entity; the workspace is read"
            " from the key alone. Only Afterword's services write to these topics.",
        },
        "channels": {topic.value: _channel(topic, specs[topic]) for topic in Topic},
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(topic: Topic, spec: Any) -> dict[str, Any]:
    kept = "compacted" if spec.compacted else f"{spec.retention_ms // 86_400_000} days"
    names = _message_names(topic)
    return {
        "address": topic.value,
        "description": f"Written by {_writers(topic)}; kept: {kept}; {spec.partitions} partitions.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"partitions": spec.partitions}},
    }


def _writers(topic: Topic) -> str:
    return ", ".join(name for name, topics in WRITERS.items() if topic in topics) or "nobody yet"


def _message_names(topic: Topic) -> list[str]:
    if topic is Topic.EVENTS:
        return ["Event"]
    return [model.__name__ for model in MESSAGES if topic == model.TOPIC]


def _operations() -> dict[str, Any]:
    return {
        f"{service}-reads-{topic}": {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{topic}"},
            "summary": f"{service} consumes {topic}; what it cannot handle goes to {topic}.{service}.dlq.",
        }
        for service, topics in READERS.items()
        for topic in topics
    }


def _messages() -> dict[str, Any]:
    key = {"type": "string", "description": "workspace/entity"}
    messages: dict[str, Any] = {
        model.__name__: {
            "name": model.TYPE,
            "summary": (model.__doc__ or "").splitlines()[0],
            "contentType": "application/cloudevents+json",
            "bindings": {"kafka": {"key": key}},
            "payload": {
                "type": "object",
                "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
                "properties": {
                    "specversion": {"const": "1.0"},
                    "id": {"type": "string"},
                    "source": {"type": "string"},
                    "type": {"const": model.TYPE},
                    "subject": {"type": "string"},
                    "time": {"type": "string", "format": "date-time"},
                    "schemaversion": {"type": "string", "examples": [model.VERSION]},
                    "traceparent": {"type": "string"},
                    "data": {"$ref": f"{_SCHEMAS}{model.__name__}"},
                },
            },
        }
        for model in MESSAGES
    }
    messages["Event"] = {
        "name": "a business system's own type",
        "summary": "A transaction event as a business system sent it.",
        "contentType": "application/cloudevents+json",
        "bindings": {"kafka": {"key": key}},
        "payload": {"$ref": f"{_SCHEMAS}Event"},
    }
    return messages


def _schemas() -> dict[str, Any]:
    _, ours = models_json_schema(
        [(model, "serialization") for model in MESSAGES], ref_template=_SCHEMAS + "{model}"
    )
    _, event = msgspec.json.schema_components([Event], ref_template=_SCHEMAS + "{name}")
    return {**ours["$defs"], **event}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write the files."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, text in asyncio.run(describe()).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
