"""What an idle process holds: each service by itself, and all of them in one `afterword dev`."""

import sys
import tempfile
import time
from pathlib import Path

from bench.measuring import memory
from bench.results import Result
from bench.system import KEY, Running, environment_of, open_system
from deploy.local.ports import free_port
from deploy.local.process import ServerProcess
from services.cli.paths import SERVICES

IDLE_SECONDS = 5.0
SERVICE_MB = 120.0
DEV_MB = 200.0


def run(_seconds: float) -> list[Result]:
    """Start everything, let it be idle, and look once."""
    with open_system() as system:
        services = {name: system.serve(name) for name in SERVICES}
        for running in services.values():
            running.wait_until("/health/ready")
        time.sleep(IDLE_SECONDS)
        results = [
            _result(f"serve {name}", running, SERVICE_MB) for name, running in services.items()
        ]
    return [*results, _dev()]


def _dev() -> Result:
    with tempfile.TemporaryDirectory(prefix="afterword-bench-") as name:
        directory = Path(name)
        port = free_port()
        arguments = ["dev", "--port", str(port), "--data", str(directory / "data"), "--key", KEY]
        process = ServerProcess(
            [sys.executable, "-m", "services.cli", *arguments],
            output=directory / "dev.log",
            env=environment_of(directory),
        )
        running = Running(process, port)
        try:
            running.wait_until("/health/ready")
            time.sleep(IDLE_SECONDS)
            return _result("dev", running, DEV_MB)
        finally:
            running.end()


def _result(what: str, running: Running, goal: float) -> Result:
    held = memory(running.pid)
    notes = {"pss": held.pss, "uss": held.uss}
    return Result("memory", f"{what}, idle", "MB", held.rss, goal=goal, at_most=True, notes=notes)
