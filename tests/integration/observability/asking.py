"""What is asked of Prometheus: the queries of rules and dashboards, and the series and labels that each names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as promql
import yaml

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "k8s" / "components" / "monitoring"
RULES: dict[str, Any] = yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))


class Query(NamedTuple):
    """A query and where it stands."""

    where: str
    text: str


def rules(kind: str) -> list[dict[str, Any]]:
    """The rules that have `record`, or `alert`."""
    return [rule for group in RULES["spec"]["groups"] for rule in group["rules"] if kind in rule]


def queries() -> Iterator[Query]:
    """All of them, as Prometheus would be asked."""
    for kind in ("record", "alert"):
        for rule in rules(kind):
            yield Query(rule[kind], rule["expr"])
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                text = target["expr"].replace("$__rate_interval", "5m")
                yield Query(f"{path.stem}: {panel['title']}", text)


def series(query: str) -> dict[str, set[str]]:
    """The names of the series that a query reads, each with the labels that it selects them by. Raises `ValueError`
    for what Prometheus could not read."""
    found: dict[str, set[str]] = {}

    def visit(node: promql.Expr) -> bool:
        selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
        if isinstance(selector, promql.VectorSelector):
            by = {matcher.name for matcher in selector.matchers.matchers}
            found.setdefault(str(selector.name), set()).update(by)
        return True

    promql.walk(promql.parse(query), visit)
    return found


def grouping(query: str) -> set[str]:
    """The labels that a query groups or matches by."""
    found: set[str] = set()

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            found.update(node.modifier.labels)
        if isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            found.update(node.modifier.matching.labels)
        return True

    promql.walk(promql.parse(query), visit)
    return found
