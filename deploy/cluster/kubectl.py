"""kubectl as functions: run it, read its JSON, wait for what it tells."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
Object = dict[str, Any]
_POLL_SECONDS = 0.5


class Failed(Exception):
    """What was to be shown is not so; the words say what was seen."""


@dataclass(frozen=True)
class Answer:
    """How a kubectl command ended."""

    code: int
    out: str
    err: str

    @property
    def warnings(self) -> list[str]:
        """What the API server warned of."""
        return [line for line in self.err.splitlines() if line.startswith("Warning:")]


def run(*arguments: str, given: str | None = None) -> Answer:
    """Run kubectl, whatever comes of it."""
    done = subprocess.run(
        ["kubectl", *arguments],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def must(*arguments: str, given: str | None = None) -> Answer:
    """Run kubectl; `Failed` with its words when it does not succeed."""
    answer = run(*arguments, given=given)
    if answer.code:
        said = answer.err.strip() or answer.out.strip()
        raise Failed(f"kubectl {' '.join(arguments)}: {said[-1500:]}")
    return answer


def items(*arguments: str) -> list[Object]:
    """The objects that `kubectl get` lists."""
    found: list[Object] = json.loads(must("get", *arguments, "-o", "json").out)["items"]
    return found


def text_of(objects: Sequence[Object]) -> str:
    """Objects as kubectl reads them from its input."""
    return yaml.safe_dump_all(objects)


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
