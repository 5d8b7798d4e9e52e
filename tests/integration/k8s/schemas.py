"""The schemas of custom kinds, closed: a field that a schema does not name is an error, as the API server has it."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.integration.k8s.conftest import K8S, Object

DIRECTORY = Path(
    os.environ.get(
        "AFTERWORD_CRD_SCHEMAS", K8S.parents[1] / "shared" / "schemas" / "kubernetes-crds"
    )
)
GROUPS = {
    "external-secrets.io",
    "gateway.networking.k8s.io",
    "kafka.strimzi.io",
    "keda.sh",
    "monitoring.coreos.com",
    "postgresql.cnpg.io",
}
"""Whose kinds are no part of Kubernetes itself."""


def is_custom(each: Object) -> bool:
    """Whether the kind is one that an operator brings."""
    return group_of(each) in GROUPS


def group_of(each: Object) -> str:
    return str(each["apiVersion"]).rpartition("/")[0]


def problems(each: Object) -> list[str]:
    """What is wrong with a custom object; skips the test where there are no schemas."""
    if not DIRECTORY.exists():
        pytest.skip(f"optional: no schemas of custom kinds in {DIRECTORY}")
    version = each["apiVersion"].rpartition("/")[2]
    name = f"{group_of(each)}/{each['kind'].lower()}_{version}.json"
    found = _validator(DIRECTORY / name).iter_errors(each)
    return [f"{name}: {'.'.join(map(str, one.instance_path))}: {one.message}" for one in found]


@cache
def _validator(path: Path) -> Any:
    schema = json.loads(path.read_text(encoding="utf-8"))
    _close(schema)
    return jsonschema_rs.validator_for(schema)


def _close(schema: Any) -> None:
    """Refuse unknown fields wherever fields are named. What stands under allOf and its like names only some."""
    if not isinstance(schema, dict):
        return
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for each in schema.get("properties", {}).values():
        _close(each)
    _close(schema.get("items"))
    _close(schema.get("additionalProperties"))
