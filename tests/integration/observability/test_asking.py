"""Dashboards and alerts ask for what the code has: every query is read, and its names are held against the registry."""

import pytest

from services.cli.registry import instruments
from tests.integration.observability.asking import Query, grouping, queries, rules, series

OF_THE_TARGET = {"namespace", "pod", "instance", "job"}
"""Labels that Prometheus adds to all that it scrapes."""
OF_THE_CLIENT = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Series of the Python client itself that we ask for."""

HAS = {name: {*one.labels, "le"} for one in instruments() for name in one.series()}
HAS |= {rule["record"]: {"slo"} for rule in rules("record")}
HAS |= {name: set() for name in OF_THE_CLIENT}


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.where)
def test_a_query_asks_for_what_there_is(query: Query) -> None:
    asked = series(query.text)
    assert asked
    assert set(asked) <= set(HAS)
    for name, labels in asked.items():
        assert labels - OF_THE_TARGET <= HAS[name], name
    labels_there = set.union(*(HAS[name] for name in asked))
    assert grouping(query.text) - OF_THE_TARGET <= labels_there


def test_a_name_that_is_not_there_is_seen() -> None:
    assert series("rate(afterword_gone_total{door='x'}[5m]) > 0") == {
        "afterword_gone_total": {"door"}
    }
    assert grouping("sum by (door) (up) / on (pod) up") == {"door", "pod"}
    with pytest.raises(ValueError, match="unclosed"):
        series("sum by (door (up)")


def test_a_bucket_that_a_rule_asks_for_is_one_of_the_code() -> None:
    """A limit that is no bucket's would make every promise look broken, or kept."""
    import re

    from shared.instruments import LATENCY_SECONDS

    asked = {float(le) for query in queries() for le in re.findall(r'le="([^"]+)"', query.text)}
    assert asked == {5.0, 10.0}
    assert asked <= {float(bound) for bound in LATENCY_SECONDS}


def test_every_instrument_of_the_flow_is_shown_or_alerted_on() -> None:
    asked = {name for query in queries() for name in series(query.text)}
    unseen = {one.name for one in instruments() if not one.series() & asked}
    assert unseen == {
        "afterword_events_refused_total",
        "afterword_due_to_invited_seconds",
        "afterword_records_skipped_total",
        "afterword_recovered_total",
        "afterword_responses_counted_total",
        "afterword_outbox_published_total",
        "afterword_retention_rows_deleted_total",
        "afterword_retention_ranges_dropped_total",
        "afterword_retention_oldest_day_timestamp_seconds",
    }
