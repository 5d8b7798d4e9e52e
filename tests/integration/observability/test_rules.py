"""The alerts, run by Prometheus' own promtool: each is silent while all is well and fires when it is not."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.observability.asking import RULES, rules

SCENARIOS = Path(__file__).parent / "alerts.yaml"
NAMES = {rule["alert"] for rule in rules("alert")}


@pytest.fixture
def directory(promtool: str, tmp_path: Path) -> Path:
    """The groups of rules as Prometheus itself reads them, and the scenarios beside them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES["spec"]), encoding="utf-8")
    shutil.copy(SCENARIOS, tmp_path)
    return tmp_path


def run(promtool: str, *arguments: str, directory: Path) -> None:
    answer = subprocess.run(
        [promtool, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_prometheus_takes_the_rules(promtool: str, directory: Path) -> None:
    run(promtool, "check", "rules", "--lint-fatal", "rules.yaml", directory=directory)


def test_alerts_fire_when_they_should_and_only_then(promtool: str, directory: Path) -> None:
    run(promtool, "test", "rules", "alerts.yaml", directory=directory)


def scenarios() -> list[list[set[str]]]:
    """For each scenario, which alerts fire at each moment that it looks at."""
    found: list[list[set[str]]] = []
    for scenario in yaml.safe_load(SCENARIOS.read_text(encoding="utf-8"))["tests"]:
        looks: list[dict[str, Any]] = scenario["promql_expr_test"]
        found.append(
            [set(re.findall(r'alertname="(\w+)"', str(look["exp_samples"]))) for look in looks]
        )
    return found


def test_every_alert_has_a_scenario_in_which_it_fires_and_is_silent() -> None:
    for name in NAMES:
        assert any(
            any(name in look for look in looks) and any(name not in look for look in looks)
            for looks in scenarios()
        ), name


def test_every_alert_says_how_urgent_it_is_what_is_wrong_and_what_to_read() -> None:
    for rule in rules("alert"):
        assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"}), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
