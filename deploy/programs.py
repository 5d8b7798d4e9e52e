"""Other programs as functions: run one, insist on its success, wait for what it tells."""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from deploy.claims import Failed

T = TypeVar("T")
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*command: str, given: str | None = None, env: Mapping[str, str] | None = None) -> Answer:
    """Run a command, whatever comes of it."""
    done = subprocess.run(
        command,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def must(*command: str, given: str | None = None, env: Mapping[str, str] | None = None) -> Answer:
    """Run a command; `Failed` with its words when it does not succeed."""
    answer = run(*command, given=given, env=env)
    if answer.code:
        said = answer.err.strip() or answer.out.strip()
        raise Failed(f"{' '.join(command)}: {said[-1500:]}")
    return answer


def wait_for(look: Callable[[], T | None], what: str, seconds: float) -> T:
    """Look again and again until something is found; `Failed` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(_POLL_SECONDS)
