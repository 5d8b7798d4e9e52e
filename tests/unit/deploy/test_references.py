"""What a pod names and does not find is told, wherever it names it; what it may do without is not."""

import base64
from typing import Any

from deploy.cluster.kubectl import Object
from deploy.cluster.references import environment, holdings, missing


def given(kind: str, name: str, **data: str) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "kind": kind,
        "metadata": {"name": name},
        "data": encoded if kind == "Secret" else data,
    }


HELD = holdings([given("Secret", "login", password="p"), given("ConfigMap", "settings", A="1")])


def pod(*volumes: Object, mounts: tuple[Object, ...] = (), **container: Any) -> Object:
    one = {"name": "one", "volumeMounts": list(mounts), **container}
    return {"volumes": list(volumes), "containers": [one]}


def test_what_is_there_is_found_and_told() -> None:
    container: dict[str, Any] = {
        "env": [
            {"name": "B", "value": "2"},
            {"name": "P", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }
    made = pod({"name": "v", "secret": {"secretName": "login"}}, **container)
    assert missing(made, HELD) == []
    assert environment(made["containers"][0], HELD) == {"A": "1", "B": "2", "P": "p"}


def test_what_is_not_there_is_told_wherever_it_is_named() -> None:
    sources = [{"configMap": {"name": "none"}}, {"secret": {"name": "login", "items": [
        {"key": "key", "path": "key"}]}}]  # fmt: skip
    made = pod(
        {"name": "v", "projected": {"sources": sources}},
        {"name": "w", "configMap": {"name": "settings", "items": [{"key": "B", "path": "b"}]}},
        env=[{"name": "P", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "P"}}}],
        envFrom=[{"secretRef": {"name": "none"}}],
    )
    assert missing(made, HELD) == [
        "volume v: no ConfigMap none",
        "volume v: Secret login has no key",
        "volume w: ConfigMap settings has no B",
        "one: no Secret none",
        "one: ConfigMap settings has no P",
    ]


def test_what_a_pod_may_do_without_is_not_missed() -> None:
    made = pod(
        {"name": "v", "secret": {"secretName": "none", "optional": True}},
        envFrom=[{"secretRef": {"name": "none", "optional": True}}],
    )
    assert missing(made, HELD) == []


def test_a_setting_that_names_a_file_needs_the_file() -> None:
    volume = {
        "name": "v",
        "secret": {"secretName": "login", "items": [{"key": "password", "path": "in/p"}]},
    }
    mount = {"name": "v", "mountPath": "/etc/login"}
    env = [{"name": f"{n}_FILE", "value": v} for n, v in (("A", "/etc/login/in/p"), ("B", "/b"))]
    assert missing(pod(volume, mounts=(mount,), env=env), HELD) == [
        "one: B_FILE is /b, where no file is"
    ]
