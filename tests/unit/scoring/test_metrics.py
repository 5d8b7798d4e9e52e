"""Scores against published and recomputed vectors, and the laws that hold for every histogram."""

import json
import random
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.metrics import (
    Score,
    ces,
    csat,
    index,
    mean,
    merge,
    nps,
    rating,
    score,
    shares,
    wilson,
)

LEVELS = st.floats(0.5, 0.999)


def histograms(low: int, high: int, most: int = 500) -> st.SearchStrategy[dict[int, int]]:
    return st.dictionaries(st.integers(low, high), st.integers(0, most))


def counted(values: list[int]) -> dict[int, int]:
    return merge({value: 1} for value in values)


def thirds(detractors: int, passives: int, promoters: int) -> dict[int, int]:
    return {3: detractors, 8: passives, 10: promoters}


def bounds(scored: Score) -> tuple[float, float]:
    assert scored.interval is not None
    return scored.interval.low, scored.interval.high


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 7, 7, 9, 9, 9], 100 / 3),
        ([0], -100),
        ([6], -100),
        ([7], 0),
        ([8], 0),
        ([9], 100),
        ([10], 100),
        ([1, 9], 0),
        ([7, 9], 50),
        ([0, 7, 9], 0),
    ],
)
def test_nps_of_brendan_r(values: list[int], expected: float) -> None:
    scored = nps(counted(values))
    assert scored.value == pytest.approx(expected)
    assert scored.n == len(values)


def test_nps_worked_example_in_chinese_literature() -> None:
    scored = nps(thirds(30, 50, 120))
    assert scored.value == 45
    assert scored.counts == {"promoters": 120, "passives": 50, "detractors": 30}
    assert scored.method == "9-10 minus 0-6"


@pytest.mark.parametrize(
    ("counts", "value", "low", "high"),
    [
        ((9, 8, 19), 27.7778, -0.4415, 51.7235),
        ((20, 30, 50), 30, 14.0511, 44.2013),
        ((0, 0, 10), 100, 47.5036, 100),
        ((10, 0, 0), -100, -100, -47.5036),
        ((0, 10, 0), 0, -18.4650, 18.4650),
        ((1, 2, 3), 33.3333, -26.7433, 71.1877),
        ((50, 100, 150), 33.3333, 24.6067, 41.3999),
    ],
)
def test_nps_interval_is_adjusted_wald_around_a_raw_value(
    counts: tuple[int, int, int], value: float, low: float, high: float
) -> None:
    scored = nps(thirds(*counts))
    assert scored.value == pytest.approx(value, abs=5e-5)
    assert bounds(scored) == pytest.approx((low, high), abs=5e-5)


def test_interval_of_a_lone_answer_holds_it() -> None:
    """The adjusted interval alone would be [-98.5, 48.5] around a score of -100."""
    assert bounds(nps({0: 1})) == pytest.approx((-100, 48.4986), abs=5e-5)


def test_csat_of_delighted() -> None:
    histogram = {1: 14, 2: 9, 3: 10, 4: 32, 5: 42}
    scored = csat(histogram)
    assert scored.value == pytest.approx(100 * 74 / 107)
    assert bounds(scored) == pytest.approx((59.8715, 77.1183), abs=5e-5)
    assert scored.counts == {"satisfied": 74, "neutral": 10, "dissatisfied": 23}
    average = mean(histogram, 1, 5)
    assert average.value == pytest.approx(3.738318, abs=5e-7)
    assert average.value is not None
    assert index(average.value, 1, 5) == pytest.approx(68.457944, abs=5e-7)


def test_ces_of_cys_is_the_share_that_agrees() -> None:
    histogram = dict(zip(range(1, 8), [80, 210, 140, 110, 160, 180, 120], strict=True))
    scored = ces(histogram)
    assert scored.value == 46
    assert scored.method == "agree 5-7"
    assert scored.counts == {"agree": 460, "neutral": 110, "disagree": 430}
    assert mean(histogram, 1, 7).value == pytest.approx(4.08)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (7, 50, 0.0695083, 0.2618619),
        (0, 10, 0, 0.2775328),
        (10, 10, 0.7224672, 1),
        (74, 107, 0.598715, 0.771183),
    ],
)
def test_wilson(k: int, n: int, low: float, high: float) -> None:
    interval = wilson(k, n)
    assert (interval.low, interval.high, interval.level) == pytest.approx(
        (low, high, 0.95), abs=5e-7
    )


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_proportion(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{k} of {n}"):
        wilson(k, n)


def test_mean_interval_is_that_of_nps_on_a_longer_scale() -> None:
    average = mean({-1: 20, 0: 30, 1: 50}, -1, 1)
    assert bounds(average) == pytest.approx((0.140511, 0.442013), abs=5e-7)
    # By hand for ten fives of 1..5: centre 60.../13, pseudo-observations at 1, 3 and 5.
    centre = (10 * 5 + 0.75 * 1 + 1.5 * 3 + 0.75 * 5) / 13
    squares = (10.75 * 25 + 1.5 * 9 + 0.75 * 1) / 13 - centre**2
    low = centre - 1.959963984540054 * (squares / 13) ** 0.5
    assert bounds(rating({5: 10}, 1, 5)) == pytest.approx((low, 5))


def test_mean_interval_covers_what_the_plain_one_misses() -> None:
    """Ten answers of a top-heavy scale: nominal 95 %, where the n-1 Wald interval gets about 85."""
    draw = random.Random(7)
    weights = [1, 1, 2, 6, 20]
    truth = sum(k * w for k, w in enumerate(weights, start=1)) / sum(weights)
    held = 0
    for _ in range(2_000):
        low, high = bounds(mean(counted(draw.choices(range(1, 6), weights, k=10)), 1, 5))
        held += low <= truth <= high
    assert 0.92 <= held / 2_000 <= 0.98


def test_shares_are_of_respondents_not_of_ticks() -> None:
    options = shares({"price": 7, "staff": 50, "wait": 0}, 50)
    assert list(options) == ["price", "staff", "wait"]
    assert [option.value for option in options.values()] == [14, 100, 0]
    assert {option.n for option in options.values()} == {50}
    assert bounds(options["price"]) == pytest.approx((6.95083, 26.18619), abs=5e-5)


def test_shares_of_nobody_are_none() -> None:
    assert shares({"price": 0}, 0)["price"].value is None


def test_an_option_cannot_be_chosen_by_more_than_responded() -> None:
    with pytest.raises(ValueError, match="invariant broken: 3 respondents"):
        shares({"price": 4}, 3)


@pytest.mark.parametrize("value", [-1, 11, 1 / 3, 9.0, True, "9", None])
def test_nps_rejects_values_off_the_scale_by_name(value: object) -> None:
    with pytest.raises(ValueError, match=str(value)):
        nps({8: 4, value: 1})  # type: ignore[dict-item]


def test_each_kind_guards_its_own_scale() -> None:
    for formula, outside in ((csat, 0), (csat, 6), (ces, 0), (ces, 8)):
        with pytest.raises(ValueError, match=f"value {outside} "):
            formula({outside: 1})
    with pytest.raises(ValueError, match="value 4 "):
        rating({4: 1}, 1, 3)
    with pytest.raises(ValueError, match=r"3\.\.3 is no scale"):
        rating({3: 1}, 3, 3)


@pytest.mark.parametrize("count", [-1, 1.5, True])
def test_broken_counts_raise(count: object) -> None:
    broken = {9: count}
    with pytest.raises(ValueError, match="invariant broken: value 9"):
        nps(broken)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="invariant broken: value 9"):
        merge([{9: 5}, broken])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="invariant broken"):
        shares({"price": count}, 9)  # type: ignore[dict-item]


@pytest.mark.parametrize("level", [0, 1, -0.5, 95])
def test_level_is_a_probability(level: float) -> None:
    for formula in (nps, csat):
        with pytest.raises(ValueError, match=f"level {level}"):
            formula({5: 1}, level=level)


def test_without_answers_there_is_no_score() -> None:
    for scored in (nps({}), nps({9: 0}), csat({}), ces({}), mean({}, 1, 5)):
        assert (scored.value, scored.n, scored.interval, scored.small) == (None, 0, None, True)


def test_small_ends_at_thirty() -> None:
    assert nps({9: 29}).small
    assert not nps({9: 30}).small


def test_retraction_leaves_what_the_last_revisions_say() -> None:
    """(r1: 9, then 6) and (r2: 3, then deleted), as the deltas of cells reach the histogram."""
    assert nps({9: 0, 3: 0, 6: 1}).value == -100


def test_score_of_nps_in_json() -> None:
    body = score("nps", (0, 10), {3: 20, 8: 30, 10: 50})
    assert body == {
        "kind": "nps",
        "value": 30.0,
        "n": 100,
        "interval": {"low": 14.0511, "high": 44.2013, "level": 0.95},
        "method": "9-10 minus 0-6",
        "small_n": False,
        "counts": {"promoters": 50, "passives": 30, "detractors": 20},
        "histogram": {str(k): {3: 20, 8: 30, 10: 50}.get(k, 0) for k in range(11)},
    }
    assert json.loads(json.dumps(body)) == body


def test_score_of_csat_in_json_carries_its_mean() -> None:
    body = score("csat", None, {1: 14, 2: 9, 3: 10, 4: 32, 5: 42})
    assert (body["value"], body["method"], body["n"]) == (69.1589, "top2", 107)
    assert body["interval"] == {"low": 59.8715, "high": 77.1183, "level": 0.95}
    assert (body["mean"]["value"], body["mean"]["index"]) == (3.7383, 68.4579)
    assert body["mean"]["interval"]["low"] < 3.7383 < body["mean"]["interval"]["high"]


def test_score_of_ces_and_rating_in_json() -> None:
    body = score("ces", (1, 7), {4: 1, 7: 1})
    assert (body["value"], body["mean"]["value"], body["mean"]["index"]) == (50, 5.5, 75)
    body = score("rating", (0, 4), {1: 1, 2: 1})
    assert (body["value"], body["index"], body["method"]) == (1.5, 37.5, "mean")
    assert body["histogram"] == {"0": 0, "1": 1, "2": 1, "3": 0, "4": 0}
    assert "mean" not in body


def test_score_of_choice_in_json() -> None:
    body = score("choice", None, {"price": 7, "staff": 0}, 50)
    assert (body["value"], body["interval"], body["n"], body["method"]) == (
        None,
        None,
        50,
        "shares",
    )
    assert body["shares"]["price"] == {
        "value": 14.0,
        "count": 7,
        "interval": {"low": 6.9508, "high": 26.1862, "level": 0.95},
    }
    assert body["histogram"] == {"price": 7, "staff": 0}


@pytest.mark.parametrize("kind", ["nps", "csat", "ces", "rating"])
def test_score_without_answers_is_null_not_zero(kind: str) -> None:
    body = score(kind, (1, 5) if kind == "rating" else None, {})
    assert (body["value"], body["n"], body["interval"], body["small_n"]) == (None, 0, None, True)
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize(
    ("kind", "scale", "message"),
    [
        ("nps", (1, 10), r"nps is asked on 0\.\.10, not 1\.\.10"),
        ("csat", (1, 7), r"csat is asked on 1\.\.5"),
        ("rating", None, "a rating needs its scale"),
        ("text", None, "kind 'text' have no score"),
        ("choice", None, "number of respondents"),
    ],
)
def test_score_refuses_what_it_cannot_read(
    kind: str, scale: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(kind, scale, {})


@given(histograms(0, 10), LEVELS)
def test_nps_and_its_interval_stay_in_bounds(histogram: dict[int, int], level: float) -> None:
    scored = nps(histogram, level=level)
    if scored.value is None:
        assert sum(histogram.values()) == 0
        return
    low, high = bounds(scored)
    assert -100 <= low <= scored.value <= high <= 100
    assert low < high


@given(histograms(1, 7), LEVELS)
def test_means_and_shares_stay_in_bounds(histogram: dict[int, int], level: float) -> None:
    if sum(histogram.values()) == 0:
        return
    for scored, least, most in (
        (mean(histogram, 1, 7, level=level), 1, 7),
        (ces(histogram, level=level), 0, 100),
    ):
        low, high = bounds(scored)
        assert scored.value is not None
        assert low < high
        assert least <= low <= scored.value <= high <= most


@given(st.integers(1, 10**9), st.data(), LEVELS)
def test_wilson_contains_the_proportion(n: int, data: st.DataObject, level: float) -> None:
    k = data.draw(st.sampled_from([0, n]) | st.integers(0, n))
    interval = wilson(k, n, level=level)
    assert 0 <= interval.low <= k / n <= interval.high <= 1


@given(st.lists(st.integers(0, 10)), st.randoms(use_true_random=False))
def test_order_of_answers_does_not_matter(values: list[int], chance: random.Random) -> None:
    shuffled = values.copy()
    chance.shuffle(shuffled)
    assert counted(shuffled) == counted(values)
    assert score("nps", None, counted(shuffled)) == score("nps", None, counted(values))


@given(histograms(0, 10), histograms(0, 10), histograms(0, 10))
def test_merge_is_associative_and_commutative(
    a: dict[int, int], b: dict[int, int], c: dict[int, int]
) -> None:
    whole = merge([a, b, c])
    assert merge([merge([a, b]), c]) == whole == merge([a, merge([b, c])])
    assert merge([c, a, b]) == whole
    assert merge([a, {}]) == a


@given(st.lists(histograms(0, 10), min_size=1))
def test_nps_of_the_whole_is_the_weighted_mean_of_its_parts(parts: list[dict[int, int]]) -> None:
    whole = nps(merge(parts))
    scored = [nps(part) for part in parts]
    assert whole.n == sum(part.n for part in scored)
    if whole.value is not None:
        weighted = sum(part.n * part.value for part in scored if part.value is not None)
        assert isclose(whole.value, weighted / whole.n, abs_tol=1e-9)


@given(histograms(0, 10))
def test_mirrored_scores_have_mirrored_intervals(histogram: dict[int, int]) -> None:
    """Swapping promoters and detractors turns the sign of everything."""
    answers = nps(histogram)
    mirrored = nps(
        {10: answers.counts["detractors"], 0: answers.counts["promoters"]}
        | {8: answers.counts["passives"]}
    )
    if answers.value is not None:
        assert mirrored.value == -answers.value
        low, high = bounds(answers)
        assert bounds(mirrored) == pytest.approx((-high, -low), abs=1e-9)
