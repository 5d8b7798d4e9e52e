"""A soak tells growth from noise, by the hour."""

import random

import pytest

from tests.faults.faults import soak


def samples(mb_an_hour: float, noise: float = 0.0) -> list[soak.Sample]:
    rng = random.Random(1)
    return [
        (t, 100 + mb_an_hour * t / 3600 + rng.uniform(-noise, noise)) for t in range(0, 7200, 5)
    ]


def test_the_slope_is_found_under_noise() -> None:
    assert soak._slope(samples(12.0, noise=3.0)) * 3600 == pytest.approx(12.0, abs=1.0)
    assert soak._slope(samples(0.0, noise=3.0)) * 3600 == pytest.approx(0.0, abs=1.0)
    assert soak._slope([(1.0, 100.0)]) == 0.0


def test_a_long_run_is_judged_by_the_hour_and_a_short_one_by_what_it_grew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(soak, "SECONDS", 7200.0)
    soak._judge("ingest", samples(2.0, noise=3.0))
    with pytest.raises(AssertionError, match="an hour"):
        soak._judge("ingest", samples(20.0))
    monkeypatch.setattr(soak, "SECONDS", 60.0)
    soak._judge("ingest", [(0.0, 100.0), (60.0, 120.0)])
    with pytest.raises(AssertionError, match="grew by 80 MB"):
        soak._judge("ingest", [(0.0, 100.0), (60.0, 180.0)])
