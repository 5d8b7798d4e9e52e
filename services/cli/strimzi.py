"""Writes Kafka's topics and users down for Strimzi, from the registry of topics: who may read and write what.

`python -m services.cli.strimzi [DIRECTORY]` (by default k8s/components/strimzi); a test fails when the files there are
stale.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from shared.contracts.topics import (
    READERS,
    SAID_AGAIN,
    WRITERS,
    TopicSpec,
    dead_letter_topic,
    topic_specs,
    topics_read,
)
from shared.log.kafka.topics import configs

CLUSTER: Final = "log"
"""The Kafka object that the topics and users belong to."""

MIGRATION: Final = "migrate"
"""The user of the migration, which compares the topics with what its version needs and changes none."""

_NAMESPACE: Final = "afterword"
_REPLICAS: Final = 3
_HEADER = (
    "# Written by `make docs` from shared/contracts/topics.py; a test fails when it is stale.\n"
)
_KEPT = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}
"""Strimzi deletes a topic with all that is in it when its object goes."""

Object = dict[str, Any]


def manifests() -> dict[str, str]:
    """The text of each file by its name."""
    return {
        "topics.yaml": _text(_topic(spec) for spec in topic_specs()),
        "users.yaml": _text(_user(name, granted) for name, granted in grants().items()),
    }


def grants(inlets: Iterable[str] = ()) -> dict[str, Mapping[tuple[str, str], tuple[str, ...]]]:
    """What each user may do with each topic and group, and nothing beside. To read or to write is to describe."""
    inlets = tuple(inlets)
    granted: dict[str, Mapping[tuple[str, str], tuple[str, ...]]] = {
        service: _of_service(service, topics_read(service, inlets)) for service in READERS
    }
    granted[MIGRATION] = {
        ("topic", spec.name): ("Describe", "DescribeConfigs") for spec in topic_specs(inlets)
    }
    return granted


def _of_service(service: str, read: Iterable[str]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    dead = {dead_letter_topic(topic, service) for topic in read}
    reads = dead.union(read, SAID_AGAIN[service])
    writes = dead.union(WRITERS[service])
    topics = {
        ("topic", topic): ("Read",) * (topic in reads) + ("Write",) * (topic in writes)
        for topic in sorted(reads | writes)
    }
    return {("group", service): ("Read",), **topics}


def _topic(spec: TopicSpec) -> Object:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": _metadata(spec.name) | {"annotations": dict(_KEPT)},
        "spec": {
            "partitions": spec.partitions,
            "replicas": _REPLICAS,
            "config": configs(spec, _REPLICAS),
        },
    }


def _user(name: str, granted: Mapping[tuple[str, str], tuple[str, ...]]) -> Object:
    acls = [
        {
            "resource": {"type": kind, "name": str(resource), "patternType": "literal"},
            "operations": list(operations),
        }
        for (kind, resource), operations in granted.items()
    ]
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaUser",
        "metadata": _metadata(name),
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": acls},
        },
    }


def _metadata(name: str) -> Object:
    return {"name": str(name), "namespace": _NAMESPACE, "labels": {"strimzi.io/cluster": CLUSTER}}


class _Indenting(yaml.SafeDumper):
    """Items of a list stand further in than its name, as in all files here."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _text(objects: Iterable[Object]) -> str:
    text: str = yaml.dump_all(objects, Dumper=_Indenting, sort_keys=False)
    return _HEADER + text


def main() -> None:
    """Write the files."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "k8s/components/strimzi")
    for name, text in manifests().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
