"""Histograms as Prometheus reads them: buckets that add up, whoever reads while they are told."""

from prometheus_client import REGISTRY

from shared.histograms import Histogram


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
