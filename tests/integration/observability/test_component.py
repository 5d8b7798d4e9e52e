"""What the component brings into a cluster, built as `kubectl apply -k` would."""

import json
import subprocess

import yaml

from tests.integration.observability.asking import DASHBOARDS, MONITORING


def test_it_brings_the_rules_and_the_dashboards_where_they_are_looked_for(kubectl: str) -> None:
    answer = subprocess.run(
        [kubectl, "kustomize", str(MONITORING)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    objects = [each for each in yaml.safe_load_all(answer.stdout) if each]
    assert all(each["metadata"]["namespace"] == "afterword" for each in objects)
    assert "PrometheusRule" in {each["kind"] for each in objects}
    (boards,) = [
        each
        for each in objects
        if each["kind"] == "ConfigMap"
        and each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    ]
    assert set(boards["data"]) == {path.name for path in DASHBOARDS}
    uids = {json.loads(text)["uid"] for text in boards["data"].values()}
    assert uids == {"afterword-flow", "afterword-runtime"}
    assert len(str(boards)) < 1_000_000, "more than a ConfigMap holds"
