"""A wall clock that is wrong, for one process: all that asks the C library for the time is told another."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.process import MissingPart

_SOURCE = Path(__file__).with_name("skew.c")


def build(directory: Path) -> Path:
    """Compile the library that a process is started with. Raises `MissingPart` without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingPart("a C compiler (cc), to give a process another clock")
    library = directory / "skew.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, _SOURCE], check=True)
    assert abs(_told(skewed(library, 600)) - time.time() - 600) < 60, "the clock cannot be moved"
    return library


def skewed(library: Path, seconds: int) -> dict[str, str]:
    """What the environment of a process needs for a clock that is so much fast, or slow."""
    return {"LD_PRELOAD": str(library), "SKEW_SECONDS": str(seconds)}


def _told(environment: dict[str, str]) -> float:
    """What a process with this environment takes the time to be."""
    answer = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(answer.stdout)
