"""What a log line holds, and that a log that cannot be written to ends nothing."""

import json
import os
import subprocess
import sys
from datetime import datetime
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


_SPEAKING = """
import logging, warnings
import structlog
from shared.telemetry import configure_logging, log
configure_logging("info", json=True, service="trigger")
log.info("started", services=["trigger"])
with structlog.contextvars.bound_contextvars(request_id="r-1", traceparent="00-1-2-01"):
    log.warning("events_refused", status=422)
log.warning("step_waits", service="other", reason="a\\nb\\u2028c")
try:
    raise ValueError("a secret stays a local variable")
except ValueError as error:
    token = "awk_dev_secret"
    log.error("request_failed", exc_info=error)
    logging.getLogger("library").exception("said by %s", "a library")
warnings.warn("old", stacklevel=1)
"""


def test_every_line_is_json_and_says_when_how_grave_what_and_who() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _SPEAKING], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in answer.stderr.splitlines()]
    for line in lines:
        assert list(line)[:4] == ["time", "level", "message", "service"]
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert [(line["level"], line["message"]) for line in lines[:5]] == [
        ("info", "started"),
        ("warning", "events_refused"),
        ("warning", "step_waits"),
        ("error", "request_failed"),
        ("error", "said by a library"),
    ]
    assert [line["service"] for line in lines] == ["trigger"] * 2 + ["other"] + ["trigger"] * 3
    assert lines[1]["request_id"] == "r-1"
    assert lines[1]["traceparent"] == "00-1-2-01"
    for line in lines[3:5]:
        assert "ValueError: a secret stays a local variable" in line["exception"]
    assert "awk_dev_secret" not in answer.stderr
    assert lines[5]["level"] == "warning"


def test_a_process_that_cannot_start_says_so_in_json(tmp_path: Path) -> None:
    environment = {
        "AFTERWORD_LOG_URL": f"sqlite:///{tmp_path}",
        "AFTERWORD_DATABASE_URL": f"sqlite:///{tmp_path}",
        "AFTERWORD_ACCESS_FILE": str(tmp_path / "none.yaml"),
        "AFTERWORD_TOKEN_KEYS": "none",
    }
    answer = subprocess.run(
        [sys.executable, "-m", "services.cli", "serve", "scoring"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    [line] = [json.loads(line) for line in answer.stderr.splitlines()]
    assert (line["level"], line["message"], line["service"]) == ("error", "ended", "scoring")
    assert "none.yaml" in line["reason"]
