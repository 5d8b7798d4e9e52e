"""A whole embedded system as `afterword dev` runs it, and the other commands as somebody types them."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_port
from services.cli.main import main

_START_SECONDS = 60.0


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class System:
    """A running system with the environment that its commands find it by."""

    url: str
    key: str
    environment: dict[str, str]

    def afterword(self, *arguments: str, stdin: str = "") -> Ran:
        """Run a command to its end, in this process: only its start-up is spared."""
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["afterword", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            for name in ("AFTERWORD_URL", "AFTERWORD_API_KEY"):
                patch.delenv(name, raising=False)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return Ran(code, out.getvalue(), err.getvalue())

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that runs until it is ended."""
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment,
        )  # fmt: skip

    def client(self) -> httpx.Client:
        """The public API with the system's key."""
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=20)


@contextmanager
def running_system(directory: Path) -> Iterator[System]:
    """An embedded system on `directory`/data in a process of its own, until the block ends."""
    port = free_port()
    key = "awk_test_" + "s" * 32
    environment = os.environ | {
        "AFTERWORD_CONTEXT": str(directory / "context.yaml"),
        "COLUMNS": "200",
    }
    for name in ("AFTERWORD_URL", "AFTERWORD_API_KEY"):
        environment.pop(name, None)
    system = System(f"http://127.0.0.1:{port}", key, environment)
    place = ("--port", str(port), "--data", str(directory / "data"))
    said = directory / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "dev", *place, "--key", key],
            stdout=out, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
    try:
        _wait_until_ready(system, process, said)
        yield system
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """An embedded system of the module's own."""
    with running_system(tmp_path_factory.mktemp("dev")) as system:
        yield system


def _wait_until_ready(system: System, process: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with system.client() as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get("/health/ready").status_code == 200 and "Next:" in said.read_text():
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            time.sleep(0.05)
    pytest.fail(f"`afterword dev` did not get ready:\n{said.read_text()[-2_000:]}")
