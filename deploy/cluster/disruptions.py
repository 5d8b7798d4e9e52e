"""What is claimed of the system while its pods are sent away."""

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from deploy.claims import Failed, NotShown
from deploy.cluster.kubectl import Object, items, must, run
from deploy.cluster.system import NAMESPACE, PODS, System, pods_of
from deploy.programs import Answer, wait_for


def budgets_refuse_evictions(system: System) -> str:
    """All pods of a service are evicted at once: budgets refuse what would leave it short of more than one."""
    wanted = _several(system)
    refused = {}
    with fewest_available(wanted) as fewest:
        for service in wanted:
            wait_for(partial(_may_go, service), f"the budget of {service}", system.patience_seconds)
            refused[service] = _evict_all(service)
            system.until_available()
    _hold_to_budgets(wanted, fewest)
    if not any(refused.values()):
        raise NotShown("new pods are ready here before the next eviction can be asked for")
    told = ", ".join(f"{service} {n} of {wanted[service]}" for service, n in refused.items())
    return f"refused of those asked for at once: {told}"


def a_drain_respects_the_budgets(system: System) -> str:
    """The node with most of our pods is drained of them: no service ever lacks more than one."""
    wanted = _several(system)
    nodes = [pod["spec"]["nodeName"] for pod in pods_of()]
    node = max(set(nodes), key=nodes.count)
    with fewest_available(wanted) as fewest:
        try:
            must(
                *("drain", node, f"--pod-selector={PODS}", "--ignore-daemonsets"),
                *("--delete-emptydir-data", f"--timeout={system.patience_seconds:.0f}s"),
            )
        finally:
            must("uncordon", node)
        system.until_available()
    if any(pod["spec"].get("nodeName") == node for pod in pods_of()):
        raise Failed(f"pods are still on {node}")
    told = _hold_to_budgets(wanted, fewest)
    return f"{nodes.count(node)} pods left {node}; the fewest seen available: {told}"


def _several(system: System) -> Mapping[str, int]:
    """How many pods each service has, once all are there."""
    wanted = system.until_available()
    if min(wanted.values()) < 2:
        raise NotShown("there is one pod of each service")
    return wanted


def _hold_to_budgets(wanted: Mapping[str, int], fewest: Mapping[str, int]) -> str:
    """What was seen at worst; `Failed` when a service was short of more than one pod."""
    told = ", ".join(f"{name} {fewest[name]} of {n}" for name, n in wanted.items())
    if any(fewest[name] < n - 1 for name, n in wanted.items()):
        raise Failed(f"fewer were available than the budget allows: {told}")
    return told


def _evict_all(service: str) -> int:
    """How many evictions the budget refused. A second is granted where a new pod was ready before it was asked for."""
    pods = pods_of(service)
    with ThreadPoolExecutor(len(pods)) as pool:
        answers = list(pool.map(_evict, pods))
    refused = sum("disruption budget" in each.err for each in answers)
    went = sum(each.code == 0 for each in answers)
    if went == 0 or went + refused != len(pods):
        raise Failed(f"{service}: {[each.err.strip() for each in answers]}")
    return refused


def _may_go(service: str) -> bool | None:
    """Whether the budget knows by now that a pod of the service may go."""
    (budget,) = (
        each
        for each in items("poddisruptionbudgets", "-n", NAMESPACE)
        if each["metadata"]["name"] == service
    )
    return budget.get("status", {}).get("disruptionsAllowed", 0) > 0 or None


def _evict(pod: Object) -> Answer:
    name = pod["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": NAMESPACE},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    return run("create", "--raw", path, "-f", "-", given=json.dumps(eviction))


@contextmanager
def fewest_available(wanted: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """How many pods of each service were available at the worst of the moments that were looked at."""
    fewest = dict(wanted)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for each in items("deployments", "-n", NAMESPACE):
                name = each["metadata"]["name"]
                now = each["status"].get("availableReplicas", 0)
                fewest[name] = min(fewest[name], now)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield fewest
        finally:
            over.set()
            watching.result()
