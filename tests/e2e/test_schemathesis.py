"""Generated requests against every documented route of every service: whatever comes, never a 5xx."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.paths import SERVICES
from tests.e2e.system import System, embedded


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    return embedded(tmp_path_factory.mktemp("schemathesis"))


@pytest.mark.timeout(300)
def test_no_documented_route_answers_5xx(system: System, tmp_path: Path) -> None:
    failures: dict[str, str] = {}
    with system.running():
        key = next(iter(system.keys.values()))
        for service in SERVICES:
            url = system.urls[service]
            done = subprocess.run(
                [
                    *(
                        sys.executable,
                        "-m",
                        "schemathesis.cli",
                        "run",
                        f"{url}/v1/openapi/{service}.json",
                    ),
                    *("--url", url, "--header", f"Authorization: Bearer {key}"),
                    *("--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing"),
                    *("--max-examples", "6", "--seed", "20261123", "--generation-database", "none"),
                    *("--request-timeout", "35", "--workers", "1", "--no-color"),
                    *(
                        "--exclude-path-regex",
                        "/test$",
                    ),  # it would call the endpoint's generated URL
                ],
                cwd=tmp_path,
                capture_output=True,
                timeout=200,
                check=False,
            )
            if done.returncode != 0:
                failures[service] = (done.stdout + done.stderr).decode()[-6_000:]
    assert not failures, "\n".join(f"{service}:\n{text}" for service, text in failures.items())
