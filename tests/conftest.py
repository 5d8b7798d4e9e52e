"""Real parts for tests: one broker and one database server per run, started when first asked for."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from playwright.async_api import Browser, async_playwright

from deploy.local.java import find_java
from deploy.local.kafka import KafkaBroker, fetch_jars
from deploy.local.postgres import PostgresServer
from deploy.local.process import MissingPart, interruptible

NO_SKIPS = "AFTERWORD_NO_SKIPS"
_MARKED_BY_FIXTURE = {
    "kafka_broker": "kafka",
    "secured_kafka": "kafka",
    "postgres_server": "postgres",
    "secured_server": "postgres",
    "chromium": "browser",
}
# No sandbox: as root, as in CI, Chromium refuses to start with one. The rest keeps it off the network.
_QUIET_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_MISSING = "missing: "
_OPTIONAL = "optional: "
"""What begins so may be skipped everywhere: no package manager brings the part."""

# How long an example takes says something about this machine at this moment, and nothing about the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure() -> None:
    """Plain tracebacks in the log: to draw one with every local variable takes longer than most tests."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[*processors[:-1], plain])


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    """The run's broker. Who stops or kills it starts it again, whatever happens in between."""
    try:
        broker = KafkaBroker()
    except MissingPart as missing:
        raise do_without(str(missing)) from missing
    with broker:
        yield broker


@pytest.fixture
def kafka_url(kafka_broker: KafkaBroker) -> str:
    """`kafka://127.0.0.1:PORT` of the run's broker; topics are the test's own."""
    return kafka_broker.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The run's database server. Who stops or kills it starts it again, whatever happens."""
    try:
        server = PostgresServer(durable=False)
    except MissingPart as missing:
        raise do_without(str(missing)) from missing
    with server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database of this test's own: `postgresql://postgres@127.0.0.1:PORT/NAME`."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for playwright's `executable_path`."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    raise do_without("Chromium: install chromium")


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of Prometheus' own tool, which checks and tests rules."""
    if path := shutil.which("promtool"):
        return path
    raise do_without("promtool: install prometheus")


@pytest.fixture(scope="session")
def kubectl() -> str:
    """The path of kubectl, which builds what `kubectl apply -k` would apply."""
    if path := shutil.which("kubectl"):
        return path
    raise do_without("kubectl: run .ci/kubectl.py with a directory on PATH")


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A headless Chromium that calls nobody on its own; `new_context(locale=...)` makes a visitor."""
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=chromium, args=_QUIET_CHROMIUM) as browser,
    ):
        yield browser


def do_without(part: str) -> BaseException:
    """What skips a test that needs this part, or fails it where all parts are promised."""
    if os.environ.get(NO_SKIPS):
        return pytest.fail.Exception(f"{_MISSING}{part}", pytrace=False)
    return pytest.skip.Exception(f"{_MISSING}{part}")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main() -> Iterator[None]:
    """A run ended by SIGTERM stops its servers too, as one ended by Ctrl-C does."""
    with interruptible():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the parts it uses, so that no mark can be forgotten."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in _MARKED_BY_FIXTURE:
                item.add_marker(_MARKED_BY_FIXTURE[fixture])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the broker's jars before a test's timeout runs; the fixture says what is missing."""
    if any(item.get_closest_marker("kafka") for item in session.items):
        with contextlib.suppress(MissingPart):
            fetch_jars(find_java())


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where nothing may be skipped, a skip of any sort fails the run."""
    if os.environ.get(NO_SKIPS) and exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    """One loud line at the very end on what was not tested here, and what would change that."""
    yield
    if missing := _missing(terminalreporter):
        parts = "; ".join(sorted(missing))
        terminalreporter.write_line(f"NOT TESTED for want of {parts}", red=True, bold=True)
    if os.environ.get(NO_SKIPS) and (skipped := _skipped(config)):
        line = f"{NO_SKIPS} is set: {skipped} skipped, which fails this run"
        terminalreporter.write_line(line, red=True, bold=True)


def _missing(reporter: pytest.TerminalReporter) -> set[str]:
    """The parts that reports name: tests may have run in other processes, so nothing else is known of them."""
    stats = reporter.stats
    said = [
        line
        for report in (*stats.get("skipped", ()), *stats.get("error", ()), *stats.get("failed", ()))
        for line in str(report.longrepr).splitlines()
        if _MISSING in line
    ]
    return {line.partition(_MISSING)[2].strip("'\") ") for line in said}


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", ()) if reporter else ()
    return sum(_OPTIONAL not in str(report.longrepr) for report in skipped)
