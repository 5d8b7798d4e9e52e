"""One server program that lives as long as whoever started it, and no longer."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

START_SECONDS = 60.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02
# Ends a server whose starter is gone, even by SIGKILL: the pipe closes with its last writer.
_LIFELINE = 'cat >/dev/null; kill -KILL "$1"'


class MissingPart(Exception):
    """A program that is not installed; the text says which, and what to install."""


class StartFailed(Exception):
    """A server that ended or stayed silent instead of coming up; the text ends with its last words."""


@dataclass(frozen=True)
class Account:
    """The unprivileged account to run a server under when the starter is root."""

    name: str
    uid: int
    gid: int


class RunAs(TypedDict, total=False):
    """The arguments that make `subprocess` drop root; empty to stay who we are."""

    user: int
    group: int
    extra_groups: list[int]


class ServerProcess:
    """A running server: started when made, killed with this process however this process ends."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path,
        account: Account | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command in the directory of `output`, which its output is appended to."""
        self._output = output
        self._from = output.stat().st_size if output.exists() else 0
        with output.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=output.parent,
                env=env,
                start_new_session=True,  # Ctrl-C is for the starter, which stops its servers in order
                **run_as(account),
            )
        self._lifeline = subprocess.Popen(
            ["/bin/sh", "-c", _LIFELINE, "lifeline", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """What it has printed since it was started."""
        with self._output.open("rb") as lines:
            lines.seek(self._from)
            return lines.read().decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Block until it is ready; raise StartFailed when it ends first or takes too long."""
        for _ in until(START_SECONDS):
            if ready():
                return
            if not self.running:
                break
        state = "did not get ready" if self.running else f"ended ({self._process.returncode})"
        self.end(signal.SIGKILL)
        raise StartFailed(f"{self._process.args!r} {state}:\n{self.said[-2000:]}")

    def end(self, how: signal.Signals) -> None:
        """Send the signal and wait; SIGKILL when it is not obeyed in time. Harmless when repeated."""
        if self.running:
            self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._lifeline.kill()
        self._lifeline.wait()
        if self._lifeline.stdin is not None:
            self._lifeline.stdin.close()


def run_as(account: Account | None) -> RunAs:
    """How to start a program under this account; None is whoever starts it."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def until(seconds: float) -> Iterator[float]:
    """Yield the seconds left, pausing in between, until none are left."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        yield left
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Take SIGTERM like Ctrl-C, so that both unwind the servers opened inside.

    Ctrl-C itself is taken too where a shell that starts jobs in the background turned it off.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    except KeyboardInterrupt:
        print()
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
