"""A collector that is away, slow or unhappy costs spans and nothing else; without the SDK a start says what is missing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from deploy.local.ports import free_port
from shared.settings import Settings
from shared.tracing import recording, start
from shared.tracing.opening import open_tracing
from tests.collector import Collector, open_collector
from tests.support import TOKEN_KEYS, eventually


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    async with open_collector() as opened:
        yield opened


def settings(url: str | None) -> Settings:
    return Settings(
        log_url="sqlite:///log",
        database_url="sqlite:///database",
        access_file=Path("access.yaml"),
        token_keys=SecretStr(TOKEN_KEYS),
        traces_url=url,
        traces_ratio=1.0,
    )


def work(times: int = 1) -> None:
    for _ in range(times):
        start("ingest", "work", "server", None).end()


async def test_nothing_is_recorded_without_a_collector(collector: Collector) -> None:
    async with open_tracing(settings(None)):
        assert not recording()
        work()
    assert collector.asked == 0


async def test_what_is_left_at_the_end_is_sent(collector: Collector) -> None:
    async with open_tracing(settings(collector.url)):
        work(1_000)
    assert len(collector.spans()) == 1_000
    assert not recording()


async def test_one_collector_takes_every_service_of_a_process(collector: Collector) -> None:
    async with open_tracing(settings(collector.url)):
        for service in ("ingest", "trigger"):
            start(service, "work", "server", None).end()
    assert {span.service for span in collector.spans()} == {"afterword-ingest", "afterword-trigger"}


async def test_a_failure_is_told_by_its_kind_and_never_by_its_text(collector: Collector) -> None:
    async with open_tracing(settings(collector.url)):
        with (
            pytest.raises(ValueError, match="ann"),
            start("ingest", "work", "server", None),
        ):
            raise ValueError("ann@example.com")
    (span,) = collector.spans()
    assert span.failed
    assert span.attributes["error.type"] == "ValueError"
    assert b"ann@" not in b"".join(collector.bodies)


async def test_a_collector_that_is_away_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with capture_logs() as lines:
        async with open_tracing(settings(f"http://127.0.0.1:{free_port()}")):
            before = time.monotonic()
            work(10_000)  # more than is kept
            assert time.monotonic() - before < 5.0

            async def told() -> bool:
                return bool(lines)

            await eventually(told, seconds=20, what="the warning")
            work()
    assert [(line["event"], line["log_level"]) for line in lines] == [("traces_dropped", "warning")]


async def test_an_end_does_not_wait_for_a_collector_that_hangs(collector: Collector) -> None:
    collector.seconds = 60.0
    async with open_tracing(settings(collector.url)):
        work()
        began = time.monotonic()
    assert time.monotonic() - began < 10.0


async def test_what_a_collector_refuses_is_dropped_until_it_takes_again(
    collector: Collector,
) -> None:
    collector.status = 400
    with capture_logs() as lines:
        async with open_tracing(settings(collector.url)):
            for _ in range(3):
                asked = collector.asked
                work()

                async def was_asked(asked: int = asked) -> bool:
                    return collector.asked > asked

                await eventually(was_asked, what="another attempt")
            collector.status = 200
            work()
    assert [line["event"] for line in lines] == ["traces_dropped", "traces_taken_again"]
    assert len(collector.spans()) == 1


_WITHOUT_SDK = """
import sys
sys.modules["opentelemetry.sdk"] = None
sys.argv = ["afterword", "serve", "scoring"]
from services.cli.main import main
main()
"""


@pytest.mark.parametrize("wanted", [True, False])
def test_a_collector_without_the_sdk_is_refused_at_the_start(tmp_path: Path, wanted: bool) -> None:
    environment: dict[str, Any] = {
        "AFTERWORD_LOG_URL": f"sqlite:///{tmp_path}",
        "AFTERWORD_DATABASE_URL": f"sqlite:///{tmp_path}",
        "AFTERWORD_ACCESS_FILE": str(tmp_path / "none.yaml"),
        "AFTERWORD_TOKEN_KEYS": TOKEN_KEYS,
    }
    if wanted:
        environment["AFTERWORD_TRACES_URL"] = "http://127.0.0.1:4318"
    answer = subprocess.run(
        [sys.executable, "-c", _WITHOUT_SDK],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    [line] = [json.loads(line) for line in answer.stderr.splitlines()]
    assert ("afterword[traces]" in line["reason"]) is wanted, line


async def test_no_login_is_taken_for_a_place() -> None:
    for wrong in ("collector:4318", "grpc://c:4317", "http://me:secret@c:4318", "http://c?key=1"):
        with pytest.raises(ValueError, match="traces_url"):
            settings(wrong)


_INSTRUMENTED = """
import asyncio, tempfile
from pathlib import Path
import httpx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

told = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(told))
trace.set_tracer_provider(provider)

from services.cli.dev import open_embedded, prepare

async def ask():
    directory = Path(tempfile.mkdtemp())
    prepare(directory, {"acme": {}})
    async with open_embedded(directory, "http://afterword.test") as system:
        transport = httpx.ASGITransport(app=system.origin)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.test") as client:
            print((await client.get("/s/a-token")).status_code)

asyncio.run(ask())
print([span.attributes for span in told.get_finished_spans()])
"""


def test_no_library_tells_of_a_path_in_an_instrumented_process() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _INSTRUMENTED], capture_output=True, text=True, check=False
    )
    assert answer.stdout == "404\n[]\n", answer.stdout + answer.stderr
