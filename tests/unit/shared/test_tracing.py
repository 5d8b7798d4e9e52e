"""Who decides whether a trace is recorded, and that nothing is changed while none is."""

from collections.abc import Iterator, Sequence

import pytest

from shared.tracing import is_sampled, record_by, recording, start, well_formed
from shared.tracing.requests import calling
from tests.fakes import NotingTracer

SAMPLED = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
UNSAMPLED = SAMPLED[:-2] + "00"


@pytest.fixture(autouse=True)
def _nothing_is_recorded_afterwards() -> Iterator[None]:
    yield
    record_by(None)


def tracing(ratio: float) -> NotingTracer:
    tracer = NotingTracer(ratio)
    record_by(tracer)
    return tracer


def begun(parent: str | None, links: Sequence[str] = ()) -> str | None:
    return start("ingest", "send events", "producer", parent, links=links).traceparent


@pytest.mark.parametrize("parent", [None, SAMPLED, UNSAMPLED, "what a client made up"])
def test_without_a_collector_what_came_goes_on_as_it_was(parent: str | None) -> None:
    assert not recording()
    assert begun(parent) == parent


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_who_began_a_trace_decides(ratio: float) -> None:
    tracer = tracing(ratio)
    assert begun(UNSAMPLED) == UNSAMPLED
    assert begun(SAMPLED) == tracer.begun[0].traceparent
    assert [span.parent for span in tracer.begun] == [SAMPLED]


def test_a_trace_that_is_not_recorded_is_not_begun_again_by_the_next() -> None:
    tracer = tracing(0.0)
    passed_by = begun(None)
    assert passed_by is not None
    assert well_formed(passed_by)
    assert not is_sampled(passed_by)
    tracer.ratio = 1.0
    assert begun(passed_by) == passed_by
    assert not tracer.begun


def test_a_trace_that_begins_here_is_recorded_at_the_ratio() -> None:
    tracer = tracing(0.5)
    for _ in range(1_000):
        begun(None)
    assert 350 < len(tracer.begun) < 650


def test_what_is_linked_with_a_recorded_span_is_recorded() -> None:
    tracer = tracing(0.0)
    begun(None, [SAMPLED])
    assert [span.links for span in tracer.begun] == [[SAMPLED]]


@pytest.mark.parametrize(
    "wrong", ["", "made up", SAMPLED.upper(), "00-" + "0" * 32 + "-" + "b" * 16 + "-01"]
)
def test_what_is_no_traceparent_begins_a_trace(wrong: str) -> None:
    tracer = tracing(1.0)
    begun(wrong)
    assert [span.parent for span in tracer.begun] == [None]


def test_a_call_that_is_made_again_says_how_often_it_was_tried() -> None:
    tracer = tracing(1.0)
    for before in (0, 2):
        calling("alerting", "https://receiver.example/secret", None, before=before).end()
    first, third = (dict(span.attributes) for span in tracer.begun)
    assert third.pop("http.request.resend_count") == 2
    assert first == third
