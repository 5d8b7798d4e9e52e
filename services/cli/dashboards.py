"""The dashboards, said in a few words each; Grafana's own form of them is forty lines for one panel.

`make docs` writes that form to k8s/components/monitoring/dashboards. Two boards: what flows, and what runs it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

_ACROSS = 3
_WIDTH = 24 // _ACROSS
_HEIGHT = 7
_HERE = 'namespace=~"$namespace"'
_OURS = f"and on (instance, job) afterword_started_timestamp_seconds{{{_HERE}}}"


class Panel(NamedTuple):
    """A graph: its title, the unit of its axis, and its queries, each with the legend of its lines."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]


def _rate(metric: str, by: str = "", where: str = "") -> tuple[str, str]:
    """How often in a second, added up over replicas."""
    return f"sum by ({by}) (rate({_select(metric, where)}[$__rate_interval]))", _legend(by)


def _quantile(share: float, metric: str, by: str = "", where: str = "") -> tuple[str, str]:
    """Under what so large a share of the values lie."""
    buckets = f"rate({_select(metric + '_bucket', where)}[$__rate_interval])"
    labels = ", ".join(filter(None, ("le", by)))
    legend = f"p{share * 100:g} {_legend(by)}".strip()
    return f"histogram_quantile({share}, sum by ({labels}) ({buckets}))", legend


def _mean(metric: str, by: str) -> tuple[str, str]:
    """Of what a histogram was told."""
    (total, legend), (count, _) = _rate(metric + "_sum", by), _rate(metric + "_count", by)
    return f"{total} / {count}", legend


def _largest(metric: str, by: str) -> tuple[str, str]:
    """Of a gauge that is the same in every replica."""
    return f"max by ({by}) ({_select(metric)})", _legend(by)


def _total(metric: str, by: str) -> tuple[str, str]:
    """Of a gauge that each replica has its own part of."""
    return f"sum by ({by}) ({_select(metric)})", _legend(by)


def _failing(where: str, by: str = "") -> tuple[str, str]:
    """The share of requests that were answered 5xx."""
    count = "http_request_seconds_count"
    failed, legend = _rate(count, by, ", ".join(filter(None, (where, 'status=~"5.."'))))
    every, _ = _rate(count, by, where)
    return f"{failed} / {every}", legend


def _select(metric: str, where: str = "") -> str:
    return f"afterword_{metric}{{{', '.join(filter(None, (_HERE, where)))}}}"


def _legend(by: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)


def _latency(title: str, metric: str) -> Panel:
    return Panel(title, "s", [_quantile(0.5, metric), _quantile(0.99, metric)])


_EVENTS = 'route="/v1/events"'
_NO_PROBES = 'route!~"/health/.+"'
FLOW = (
    Panel("Events accepted", "ops", [_rate("events_accepted_total", "door")]),
    Panel("POST /v1/events answered 5xx", "percentunit", [_failing(_EVENTS)]),
    Panel(
        "POST /v1/events, time to answer",
        "s",
        [_quantile(share, "http_request_seconds", where=_EVENTS) for share in (0.5, 0.99)],
    ),
    Panel("Decisions", "ops", [_rate("decisions_total", "outcome")]),
    Panel(
        "Suppressed, by reason",
        "ops",
        [_rate("decisions_total", "reason", 'outcome="suppressed"')],
    ),
    Panel("Invitations, by the state reached", "ops", [_rate("invitations_total", "state")]),
    _latency("Accepted to invited", "accepted_to_invited_seconds"),
    _latency("Answered to scored", "answered_to_scored_seconds"),
    _latency("Answered to delivered", "answered_to_delivered_seconds"),
    Panel("Responses", "ops", [_rate("responses_total", "door")]),
    Panel("Alerts", "ops", [_rate("alerts_total", "type")]),
    Panel("Deliveries that ended", "ops", [_rate("deliveries_total", "outcome")]),
    Panel("Behind the log", "s", [_largest("consumer_lag_seconds", "service, topic")]),
    Panel("Oldest in the outbox", "s", [_largest("outbox_oldest_seconds", "service")]),
    Panel("Oldest that is due", "s", [_largest("due_oldest_seconds", "service, work")]),
    Panel("Dead letters", "ops", [_rate("records_dead_lettered_total", "service, topic")]),
    Panel("Webhook calls", "ops", [_rate("delivery_attempts_total", "service, outcome")]),
    Panel(
        "Webhook calls, time",
        "s",
        [_quantile(0.99, "delivery_attempt_seconds", "service")],
    ),
)
RUNTIME = (
    Panel("Requests", "ops", [_rate("http_request_seconds_count", "service, status")]),
    Panel("Requests answered 5xx", "percentunit", [_failing(_NO_PROBES, "service")]),
    Panel("Time to answer", "s", [_quantile(0.99, "http_request_seconds", "service")]),
    Panel("Records handled", "ops", [_rate("records_handled_total", "service, topic")]),
    Panel("Records in a batch", "short", [_mean("batch_records", "service, topic")]),
    Panel("Time of a batch", "s", [_quantile(0.99, "batch_seconds", "service, topic")]),
    Panel("Records behind", "short", [_largest("consumer_lag_records", "service, topic")]),
    Panel("Stopped partitions", "short", [_total("stopped_partitions", "service")]),
    Panel("Waits for log or database", "ops", [_rate("dependency_retries_total", "service")]),
    Panel("Rows by step", "ops", [_rate("step_rows_total", "service, step")]),
    Panel("Time of a step", "s", [_quantile(0.99, "step_seconds", "service, step")]),
    Panel("Waiting in the outbox", "short", [_largest("outbox_waiting_rows", "service")]),
    Panel(
        "Database connections in use",
        "short",
        [_total("database_used_connections", "service, pod")],
    ),
    Panel(
        "CPU",
        "short",
        [(f"rate(process_cpu_seconds_total[$__rate_interval]) {_OURS}", "{{pod}}")],
    ),
    Panel("Memory", "bytes", [(f"process_resident_memory_bytes {_OURS}", "{{pod}}")]),
    Panel(
        "Running for",
        "s",
        [(f"time() - {_select('started_timestamp_seconds')}", "{{service}} {{pod}}")],
    ),
    Panel("Connections refused", "ops", [_rate("connections_refused_total", "reason")]),
    Panel("Wrong links", "ops", [_rate("wrong_tokens_total", "answer")]),
    Panel(
        "Own messages to compare before ready",
        "short",
        [_largest("recovery_left_records", "service, topic")],
    ),
)


def dashboards() -> dict[str, dict[str, Any]]:
    """Each board in Grafana's form, by the name of its file."""
    return {
        "flow": _board("afterword-flow", "Afterword: what flows", FLOW),
        "runtime": _board("afterword-runtime", "Afterword: what runs it", RUNTIME),
    }


def _board(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    namespace = "label_values(afterword_started_timestamp_seconds, namespace)"
    return {
        "uid": uid,
        "title": title,
        "tags": ["afterword"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "namespace",
                    "type": "query",
                    "datasource": _datasource(),
                    "query": {"query": namespace, "refId": "namespace"},
                    "refresh": 2,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _ACROSS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _datasource(),
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def _datasource() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}
