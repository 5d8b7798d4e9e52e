"""A log that cannot be written to ends nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import logging
from shared.telemetry import configure_logging, log
configure_logging("info", json={json})
log.warning("dependency_away", reason="no space left")
logging.getLogger("library").warning("said by a library")
print("went on")
"""


@pytest.mark.parametrize("json", [True, False])
def test_a_full_disk_under_the_log_ends_nothing(json: bool) -> None:
    with Path("/dev/full").open("wb") as full:
        answer = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(json=json)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
        )
    assert answer.stdout == b"went on\n"
