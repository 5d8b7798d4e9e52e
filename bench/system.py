"""The real thing to measure: service processes on a real broker and a real database, each on its core."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bench.events import encoded
from bench.measuring import any_core, cpu_seconds, measured_core, other_cores
from deploy.local.kafka import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerProcess
from services.cli.dev import WORKSPACE, prepare

KEY = "awk_dev_0123456789abcdef0123456789abcdef"
_ROOT = Path(__file__).parents[1]


@dataclass
class Running:
    """A started process with the port it serves."""

    process: ServerProcess
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until(self, path: str) -> None:
        """Wait until it answers 200 there; StartFailed with its last words when it does not."""
        self.process.wait_until(lambda: _answers(f"http://127.0.0.1:{self.port}{path}"))

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Ask it with `KEY` and return the JSON that it answers; HTTPError for a refusal."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else encoded(body),
            headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own loopback URL
            found: dict[str, Any] = json.load(answer)
            return found

    def end(self) -> None:
        self.process.end(signal.SIGTERM)


@dataclass
class System:
    """A broker, a database, an access file and the environment of the processes that use them."""

    broker: KafkaBroker
    server: PostgresServer
    directory: Path
    database_url: str
    environment: dict[str, str]
    _running: list[Running] = field(default_factory=list)

    def serve(self, service: str, *, pinned: bool = True) -> Running:
        """Start one service, which may send webhooks to this machine; not waited for."""
        return self.start(
            ["services.cli", "serve", service],
            name=service,
            environment={"AFTERWORD_ALLOW_LOOPBACK": "yes"},
            pinned=pinned,
        )

    def start(
        self,
        module: Sequence[str],
        *,
        name: str,
        environment: Mapping[str, str] | None = None,
        pinned: bool = True,
    ) -> Running:
        """Start `python -m MODULE ARGUMENTS` with a port of its own: on the measured core, or not pinned on any."""
        port = free_port()
        own = {"AFTERWORD_PORT": str(port)} | dict(environment or {})
        with measured_core() if pinned else any_core():
            process = ServerProcess(
                [sys.executable, "-m", *module],
                output=self.directory / f"{name}.log",
                env=self.environment | own,
            )
        running = Running(process, port)
        self._running.append(running)
        return running

    def run(self, *command: str) -> None:
        """Run a command of the command line to its end."""
        subprocess.run(
            [sys.executable, "-m", "services.cli", *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=self.environment,
        )

    def close(self) -> None:
        for running in self._running:
            running.end()


@contextlib.contextmanager
def open_system(settings: Mapping[str, str] | None = None) -> Iterator[System]:
    """Start broker and database on the other cores, with the schemas and topics made; ended with the context.

    `settings` are those that the database server has beside its defaults.
    """
    with contextlib.ExitStack() as stack:
        with other_cores():
            broker = stack.enter_context(KafkaBroker())
            server = stack.enter_context(PostgresServer(settings=settings))
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="afterword-bench-"))
        )
        url = server.create_database()
        environment = environment_of(directory) | {
            "AFTERWORD_LOG_URL": broker.url,
            "AFTERWORD_DATABASE_URL": url,
        }
        system = System(broker, server, directory, url, environment)
        stack.callback(system.close)
        system.run("topics", "create")
        system.run("migrate")
        yield system


async def backends(url: str, service: str) -> dict[int, float]:
    """The CPU time of each process of the database server that works for a service."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1", f"afterword-{service}"
        )
    finally:
        await connection.close()
    return {row["pid"]: cpu_seconds(row["pid"]) for row in rows}


def environment_of(directory: Path) -> dict[str, str]:
    """Make an access file with one full key, `KEY`; what a process needs beside where its log and database are."""
    prepare(directory, {WORKSPACE: {}}, key=KEY)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AFTERWORD_")}
    return kept | {
        "PYTHONPATH": str(_ROOT),
        "AFTERWORD_ACCESS_FILE": str(directory / "access.yaml"),
        "AFTERWORD_TOKEN_KEYS": (directory / "token-keys").read_text(encoding="utf-8").strip(),
        "AFTERWORD_CONTEXT": str(directory / "context.yaml"),
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own loopback URL
            return True
    except (urllib.error.URLError, OSError):
        return False
