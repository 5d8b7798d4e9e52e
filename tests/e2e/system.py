"""A whole running system: real processes on Kafka and PostgreSQL, or one embedded process, behind one client."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import free_port
from services.cli.paths import SERVICES, service_of
from tests.support import TOKEN_KEYS, write_access


@dataclass
class Process:
    """One child process with its log file; `crash_at` names the crash point it dies at."""

    url: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    child: subprocess.Popen[bytes] | None = None
    crash_at: str | None = None
    module: str = "services.cli"
    code: Path | None = None
    """Where the code is that it runs; this repository's by default."""

    def start(self, *, crash_at: str | None = None) -> None:
        self.crash_at = crash_at
        environment = self.environment | ({"AFTERWORD_CRASH_AT": crash_at} if crash_at else {})
        if self.code is not None:
            environment["PYTHONPATH"] = str(self.code)
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.arguments],
                env=environment,
                cwd=self.code,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def end(self, how: signal.Signals = signal.SIGTERM, *, seconds: float = 30) -> int:
        """Send the signal and wait; returns the exit code."""
        if self.running():
            self.signal(how)
        return self.wait_for_exit(seconds)

    def signal(self, how: signal.Signals) -> None:
        assert self.child is not None
        self.child.send_signal(how)

    def wait_for_exit(self, seconds: float = 30) -> int:
        assert self.child is not None
        return self.child.wait(seconds)


@dataclass
class System:
    """A system by its processes and the URL of each service."""

    processes: dict[str, Process]
    urls: dict[str, str]
    keys: dict[str, str]
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    transport: Callable[[], httpx.AsyncBaseTransport] = httpx.AsyncHTTPTransport
    """How a client comes to the URLs."""

    def url(self, path: str) -> str:
        return self.urls[service_of(path.partition("?")[0]) or "ingest"] + path

    def client(self, workspace: str | None = None) -> "Client":
        """The public API with the key of a workspace, by default the first."""
        return Client(self, workspace or next(iter(self.keys)))

    def wait_until_ready(self, *names: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        with httpx.Client(trust_env=False, timeout=2) as client:
            for name in names or self.processes:
                process = self.processes[name]
                while not _ready(client, process.url):
                    assert process.running(), f"{name} ended: {process.log.read_text()[-3000:]}"
                    assert time.monotonic() < deadline, (
                        f"{name} not ready: {process.log.read_text()[-3000:]}"
                    )
                    time.sleep(0.05)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everything, wait until it is ready, and end it afterwards."""
        try:
            for process in self.processes.values():
                process.start()
            self.wait_until_ready()
            yield
        finally:
            self.end()

    def end(self, *names: str) -> None:
        """End these, or all, at once, as a rollout does, and wait for the last."""
        processes = [self.processes[name] for name in names or self.processes]
        for process in processes:
            if process.running():
                process.signal(signal.SIGTERM)
        for process in processes:
            if process.child is not None:
                process.wait_for_exit()


class Client(httpx.AsyncClient):
    """The public API of whichever service answers a path, with a workspace's key."""

    def __init__(self, system: System, workspace: str) -> None:
        super().__init__(
            headers={"authorization": f"Bearer {system.keys[workspace]}"},
            timeout=30,
            trust_env=False,
            transport=system.transport(),
        )
        self._system = system

    def _merge_url(self, url: Any) -> httpx.URL:
        text = str(url)
        return httpx.URL(text if text.startswith("http") else self._system.url(text))


def _ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def base_environment(directory: Path) -> dict[str, str]:
    """What every process needs of the environment, and nothing of the tester's own settings."""
    (directory / "token-keys").write_text(TOKEN_KEYS, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AFTERWORD_")}
    return kept | {
        "AFTERWORD_ACCESS_FILE": str(directory / "access.yaml"),
        "AFTERWORD_TOKEN_KEYS_FILE": str(directory / "token-keys"),
        "AFTERWORD_ALLOW_LOOPBACK": "true",
        "AFTERWORD_CONTEXT": str(directory / "context.yaml"),
        "AFTERWORD_HOST": "127.0.0.1",
    }


def distributed(
    directory: Path,
    *,
    log_url: str,
    database_url: str,
    workspaces: dict[str, dict[str, Any]] | None = None,
    replicas: dict[str, int] | None = None,
    settings: dict[str, str] | None = None,
) -> System:
    """Prepare topics and schemas and describe the processes; none is started yet."""
    system = describe(
        directory,
        log_url=log_url,
        database_url=database_url,
        workspaces=workspaces,
        replicas=replicas,
        settings=settings,
    )
    prepare(system)
    return system


def describe(
    directory: Path,
    *,
    log_url: str,
    database_url: str,
    workspaces: dict[str, dict[str, Any]] | None = None,
    replicas: dict[str, int] | None = None,
    settings: dict[str, str] | None = None,
) -> System:
    """Describe the processes. Extra replicas of a service are named SERVICE-2, ...; the client talks to the first."""
    keys = write_access(directory / "access.yaml", workspaces)
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in SERVICES}
    environment = base_environment(directory) | {
        "AFTERWORD_LOG_URL": log_url,
        "AFTERWORD_DATABASE_URL": database_url,
        "AFTERWORD_PUBLIC_URL": urls["ingest"],
        **(settings or {}),
    }
    processes: dict[str, Process] = {}
    for name in SERVICES:
        for number in range(1, (replicas or {}).get(name, 1) + 1):
            label = name if number == 1 else f"{name}-{number}"
            url = urls[name] if number == 1 else f"http://127.0.0.1:{free_port()}"
            own = {"AFTERWORD_PORT": url.rpartition(":")[2]}
            processes[label] = Process(
                url, ["serve", name], environment | own, directory / f"{label}.log"
            )
    return System(processes, urls, keys, directory, environment)


def prepare(system: System, code: Path | None = None) -> None:
    """Make the topics and bring the schemas to the version of the code, as the migration Job does."""
    preparing = [
        Process("", command, system.environment, system.directory / f"{command[0]}.log", code=code)
        for command in (["topics", "create"], ["migrate"])
    ]
    for one in preparing:
        one.start()
    for one in preparing:
        assert one.wait_for_exit(120) == 0, one.log.read_text()


def embedded(directory: Path) -> System:
    """Describe one `afterword dev` process on a directory."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    key = "awk_dev_0123456789abcdef"
    arguments = ["dev", "--port", str(port), "--data", str(directory / "data"), "--key", key]
    process = Process(url, arguments, base_environment(directory), directory / "dev.log")
    urls = dict.fromkeys(SERVICES, url)
    return System({"dev": process}, urls, {"acme": key}, directory, process.environment)
