"""Runs services in one process: HTTP and workers as siblings, so that none of them can die unseen."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import uvicorn
from prometheus_client import disable_created_metrics, start_http_server
from starlette.types import ASGIApp

from shared.errors import AfterwordError, StartupError
from shared.http.app import Health
from shared.http.connections import HEADER_SECONDS, KEEP_ALIVE_SECONDS, Connection
from shared.instruments import STARTED
from shared.telemetry import log

LINGER_SECONDS = 3.0
"""How long a process that ends waits for what comes on a connection that was kept: closed in the face of a request, the
client could not know whether it had its effect. Whoever asks more seldom than this is let go of."""

_LOOK_SECONDS = 0.05

Work = Callable[[asyncio.Event], Awaitable[None]]
"""A loop that runs until the event is set; an exception it raises ends the process."""


@dataclass
class Service:
    """A service that is open: its application and its loops."""

    name: str
    app: ASGIApp
    health: Health
    work: list[Work] = field(default_factory=list)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: this process decides when it stops."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_started: Callable[[], None],
        header_seconds: float,
        linger_seconds: float,
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._header_seconds = header_seconds
        self._linger_seconds = linger_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second by uvicorn; once a second slow clients are looked for."""
        if counter % 10 == 0:
            at = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.hang_up_if_slow(at, self._header_seconds)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let each that is open have one answer more."""
        for closing in (*self.servers, *(sockets or ())):
            closing.close()
        ends = time.monotonic() + self._linger_seconds
        while time.monotonic() < ends and self.server_state.connections:
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.leave()
            await asyncio.sleep(_LOOK_SECONDS)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(
    services: Sequence[Service],
    app: ASGIApp,
    *,
    host: str,
    port: int,
    metrics_port: int | None,
    grace_seconds: float,
    stop: asyncio.Event,
    on_started: Callable[[], None] = lambda: None,
    trusted_proxies: str = "",
    header_seconds: float = HEADER_SECONDS,
    linger_seconds: float = 0.0,
) -> None:
    """Serve and work until SIGTERM, SIGINT or `stop`; then refuse, finish, drain and return within the grace. Kept
    connections are answered for `linger_seconds` more, a fifth of the grace at most.

    Raises `StartupError` for a port in use, and whatever ends a worker.
    """
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    if metrics_port is not None:
        _serve_metrics(host, metrics_port)
    linger_seconds = min(linger_seconds, grace_seconds / 5)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, int(grace_seconds - linger_seconds) - 5),
        backlog=4096,
    )
    server = _Server(
        config, lambda: _announce(services, on_started), header_seconds, linger_seconds
    )
    try:
        with _bind(config) as listening:
            async with asyncio.timeout(None) as grace, asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[listening]), name="http")
                for service in services:
                    for work in service.work:
                        group.create_task(_work(service.name, work, stop), name=service.name)
                await stop.wait()
                grace.reschedule(loop.time() + grace_seconds)
                _drain(server, services)
    except TimeoutError:
        raise AfterwordError(
            f"gave up what was not finished within {grace_seconds:.0f} s of grace"
        ) from None


async def _work(service: str, work: Work, stop: asyncio.Event) -> None:
    await work(stop)
    if not stop.is_set():
        raise StartupError(f"a worker of {service} ended by itself")


def _announce(services: Sequence[Service], on_started: Callable[[], None]) -> None:
    for service in services:
        service.health.started = True
        STARTED.labels(service.name).set_to_current_time()
    log.info("started", services=[service.name for service in services])
    on_started()


def _drain(server: _Server, services: Sequence[Service]) -> None:
    for service in services:
        service.health.draining = True
    log.info("draining", services=[service.name for service in services])
    server.should_exit = True


def _bind(config: uvicorn.Config) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((config.host, config.port))
    except OSError as error:
        made.close()
        raise StartupError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another port"
        ) from error
    made.setblocking(False)
    return made


def _serve_metrics(host: str, port: int) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside each counter that nobody asks for
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise StartupError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}; choose another port"
        ) from error
