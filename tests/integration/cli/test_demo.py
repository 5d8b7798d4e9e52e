"""`demo` as its user meets it: a small one runs, holds its laws and ends by itself; bad starts say what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.demo.cdnow import find_file
from shared.errors import StartupError


@pytest.fixture
def purchases() -> Path:
    """The installed purchases."""
    try:
        return find_file()
    except StartupError as missing:
        pytest.skip(str(missing))


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", *arguments],
        capture_output=True, text=True, timeout=110, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def test_a_small_demo_holds_its_laws(purchases: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = run_demo("--events", "300", "--json", str(report), "--data", str(tmp_path / "data"))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text(encoding="utf-8"))
    assert told["held"]
    assert len(told["laws"]) == 7
    assert all(law["held"] for law in told["laws"])
    assert told["given_up"] is None
    assert sum(told["decisions"].values()) >= 300
    assert told["decisions"]["invited"] > 100
    assert told["decisions"]["suppressed: contact_policy"] > 30
    answered = sum(score["n"] for score in told["scores"]["month"])
    assert answered > 20
    assert sum(score["n"] for score in told["scores"]["region"]) == answered
    assert {score["group"][0] for score in told["scores"]["region"]} <= {
        "cn/east",
        "cn/south",
        "cn/north",
        "cn/west",
    }
    assert "✗" not in done.stdout
    assert "95 % interval" in done.stdout
    assert (tmp_path / "data" / "system.log").read_text(encoding="utf-8") == ""


def test_refuses_a_directory_in_use(purchases: Path, tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    done = run_demo("--events", "10", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "is not an empty directory" in done.stderr


def test_says_that_nobody_answers(purchases: Path) -> None:
    done = run_demo(
        "--events", "10", "--url", "http://127.0.0.1:9", "--key", "awk_demo_0123456789abcdef"
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:9 does not answer" in done.stderr
