"""Whether NetworkPolicies let one party connect to another: what a network plugin does, on the objects of an overlay."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.integration.k8s.conftest import Built, Object

OURS = "afterword"


@dataclass(frozen=True)
class Party:
    """A pod by its labels and those of its namespace, or an address outside of all selectors."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str | None = None

    @property
    def ours(self) -> bool:
        """Whether it is a pod of our namespace, the one that policies are in."""
        return self.namespace.get("kubernetes.io/metadata.name") == OURS


def ours(
    built: Built, name: str, labels: Mapping[str, str], ports: Mapping[str, int] | None = None
) -> Party:
    """A pod in the namespace of an overlay."""
    (namespace,) = built.of("Namespace")
    there = namespace["metadata"]["labels"] | {"kubernetes.io/metadata.name": OURS}
    return Party(name, labels, there, ports or {})


def workload(built: Built, name: str) -> Party:
    """A pod of a Deployment or a Job."""
    (template,) = (pod for key, pod in built.pods().items() if key.startswith(name))
    ports = {
        port["name"]: port["containerPort"]
        for container in template["spec"]["containers"]
        for port in container.get("ports", ())
    }
    return ours(built, name, template["metadata"]["labels"], ports)


def may(policies: list[Object], source: Party, target: Party, port: int) -> bool:
    """Whether the source may leave for the target's port, and the target lets it in."""
    return _lets(policies, "Egress", source, target, target, port) and _lets(
        policies, "Ingress", target, source, target, port
    )


def _lets(
    policies: list[Object], way: str, at: Party, other: Party, target: Party, port: int
) -> bool:
    """Whether a pod's own policies let it talk with the other; a pod that none selects talks with everybody."""
    own = [each["spec"] for each in policies if at.ours and _governs(each["spec"], way, at)]
    if not own:
        return True
    peers, rules = ("to", "egress") if way == "Egress" else ("from", "ingress")
    return any(
        _has_port(rule, target, port) and any(_is_peer(peer, other) for peer in rule[peers])
        for spec in own
        for rule in spec.get(rules, ())
    )


def _governs(spec: Object, way: str, pod: Party) -> bool:
    return way in spec["policyTypes"] and selects(spec["podSelector"], pod.labels)


def _has_port(rule: Object, target: Party, port: int) -> bool:
    return port in {target.ports.get(each["port"], each["port"]) for each in rule["ports"]}


def _is_peer(peer: Object, party: Party) -> bool:
    if party.address is not None:
        return "ipBlock" in peer and inside(party.address, peer["ipBlock"])
    if "ipBlock" in peer:
        return False
    in_namespace = (
        selects(peer["namespaceSelector"], party.namespace)
        if "namespaceSelector" in peer
        else party.ours
    )
    return in_namespace and selects(peer.get("podSelector", {}), party.labels)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector chooses what has these labels."""
    wanted: dict[str, str] = selector.get("matchLabels", {})
    among = selector.get("matchExpressions", ())
    return wanted.items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in among
    )


def inside(address: str, block: Mapping[str, Any]) -> bool:
    place = ip_address(address)
    excepted = any(place in ip_network(each) for each in block.get("except", ()))
    return not excepted and place in ip_network(str(block["cidr"]))


def of_strimzi(built: Built) -> Iterator[Object]:
    """What Strimzi makes of a listener's `networkPolicyPeers`, and for what its own parts need of each other."""
    for cluster in built.of("Kafka"):
        own = {"matchLabels": {"strimzi.io/cluster": cluster["metadata"]["name"]}}
        rules = [{"from": [{"podSelector": own}], "ports": [{"port": 9090}, {"port": 9091}]}]
        for listener in cluster["spec"]["kafka"]["listeners"]:
            ports = [{"port": listener["port"]}]
            rules.append({"from": listener["networkPolicyPeers"], "ports": ports})
        yield {"spec": {"podSelector": own, "policyTypes": ["Ingress"], "ingress": rules}}
