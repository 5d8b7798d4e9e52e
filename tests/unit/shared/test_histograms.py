"""Histograms as Prometheus reads them: buckets that add up, whoever reads while they are told."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from shared.histograms import Histogram, Observed


def test_a_scrape_finds_what_was_told() -> None:
    histogram = Histogram("probe_seconds", "A probe", ["route", "status"], buckets=(0.1, 1, 5))
    try:
        for value in (0.05, 0.1, 0.2, 5.0, 7.5):
            histogram.labels("/a", 202).observe(value)
        histogram.labels("/a", "202").observe(1)
        histogram.labels("/b", 500).observe(0.5)

        def read(part: str, **labels: str) -> float | None:
            return REGISTRY.get_sample_value(
                f"probe_seconds_{part}", {"route": "/a", "status": "202"} | labels
            )

        assert [read("bucket", le=le) for le in ("0.1", "1.0", "5.0", "+Inf")] == [2, 4, 5, 6]
        assert (read("count"), read("sum")) == (6, 13.85)
        assert read("count", route="/b", status="500") == 1
        assert read("count", route="/c") is None
    finally:
        REGISTRY.unregister(histogram)


@given(st.lists(st.floats(0, 10) | st.sampled_from([0.1, 1.0, 5.0])))
def test_a_batch_is_told_as_its_values_would_be(values: list[float]) -> None:
    together, apart = Observed((0.1, 1, 5)), Observed((0.1, 1, 5))
    together.observe_all(values)
    for value in values:
        apart.observe(value)
    assert together.counts == apart.counts
    assert abs(together.total - apart.total) < 1e-9


def test_what_is_in_the_future_of_this_clock_was_just_now() -> None:
    observed = Observed((0.1, 60))
    now = datetime.now(UTC)
    observed.observe_since(
        [now - timedelta(hours=1), now - timedelta(seconds=30), now + timedelta(seconds=5)]
    )
    assert observed.counts == [1, 1, 1]
    assert 3_630 <= observed.total < 3_640
