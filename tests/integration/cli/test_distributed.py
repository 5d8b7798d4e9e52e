"""`dev-distributed`: four processes on real Kafka and PostgreSQL that live and end together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.ports import free_port
from services.cli.paths import SERVICES
from services.cli.registry import instruments

KEY = "awk_test_" + "s" * 32
SENDS = {"afterword_delivery_attempts_total", "afterword_delivery_attempt_seconds"}
SILENT: dict[str, set[str]] = {
    "trigger": set(),
    "alerting": set(),
    "ingest": SENDS,
    "scoring": SENDS | {"afterword_recovered_total"},
}
"""What a service has no series of, because it has nothing to count there."""


class Stack:
    """The running command with what it has printed."""

    def __init__(self, directory: Path, kafka_url: str, postgres_url: str) -> None:
        # The services listen on the four after it, and their metrics ten further on.
        self.url = f"http://127.0.0.1:{(port := free_port(following=14))}"
        self._output = directory / "said"
        options = {
            "--kafka-url": f"{kafka_url}?prefix={directory.name}-",
            "--postgres-url": postgres_url,
            "--port": str(port),
            "--key": KEY,
            "--data": str(directory),
        }
        words = [word for option in options.items() for word in option]
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "dev-distributed", *words],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | {"AFTERWORD_CONTEXT": str(directory / "context.yaml")},
            )

    def said(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, words: str, *, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def ended(self) -> int:
        return self.process.wait(40)


@contextmanager
def running(directory: Path, kafka_url: str, postgres_url: str) -> Iterator[Stack]:
    stack = Stack(directory, kafka_url, postgres_url)
    try:
        stack.wait_for("Next:")
        yield stack
    finally:
        stack.process.terminate()
        stack.ended()


def children(stack: Stack) -> dict[str, int]:
    """The pid of each service's process."""
    found = {}
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(stack.process.pid)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for line in listed.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        found[command.rpartition(" ")[2]] = int(pid)
    return found


def metrics_of(stack: Stack, service: str) -> dict[str, set[str] | None]:
    """Our instruments that a process serves, each with its labels; None while it has no series."""
    port = int(stack.url.rpartition(":")[2]) + 11 + list(SERVICES).index(service)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            {label for sample in family.samples for label in sample.labels} - {"le"}
            if family.samples
            else None
        )
        for family in text_string_to_metric_families(text)
        if family.name.startswith("afterword_")
    }


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_four_processes_answer_behind_one_port_and_end_with_ctrl_c(
    tmp_path: Path, kafka_url: str, postgres_url: str
) -> None:
    with running(tmp_path, kafka_url, postgres_url) as stack:
        processes = children(stack)
        assert set(processes) == {"ingest", "trigger", "scoring", "alerting"}
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=stack.url, headers=headers, trust_env=False) as client:
            for service in processes:
                status = client.get(f"/v1/operations/{service}/status").json()
                assert (status["database"]["ok"], status["log"]["ok"]) == (True, True)
        for service in processes:
            families = metrics_of(stack, service)
            there = [one for one in instruments() if one.service in ("every", service)]
            assert set(families) == {one.name for one in there}
            told = [one for one in there if one.type != "gauge"]
            silent = {one.name for one in told if families[one.name] is None}
            assert silent == SILENT[service]
            for one in told:
                assert families[one.name] in (set(one.labels), None), one.name
        stack.process.send_signal(signal.SIGINT)
        assert stack.ended() == 0, stack.said()
    assert not [pid for pid in processes.values() if alive(pid)]


def test_a_process_that_dies_ends_all_and_is_named(
    tmp_path: Path, kafka_url: str, postgres_url: str
) -> None:
    with running(tmp_path, kafka_url, postgres_url) as stack:
        processes = children(stack)
        os.kill(processes["scoring"], signal.SIGKILL)
        assert stack.ended() == 1
    assert "the process of scoring ended by itself with exit code -9" in stack.said()
    assert not [pid for pid in processes.values() if alive(pid)]
