"""What is claimed of the system at rest."""

from deploy.claims import Failed, NotShown
from deploy.cluster.kubectl import items, run, text_of
from deploy.cluster.references import containers, holdings, missing, pods_in
from deploy.cluster.system import NAMESPACE, NOWHERE, System, by_zone, pods_of, zones


def second_apply_changes_nothing(system: System) -> str:
    """The API server sees no difference, and no pod is replaced."""
    before = {pod["metadata"]["uid"] for pod in pods_of()}
    if changed := system.would_change():
        raise Failed(f"applying it again would change {', '.join(changed)}")
    system.apply()
    system.until_available()
    if {pod["metadata"]["uid"] for pod in pods_of()} != before:
        raise Failed("applying it again replaced pods")
    return f"no difference in {len(system.objects)} objects, all {len(before)} pods stayed"


def pods_find_what_they_name(_: System) -> str:
    """Every Secret, ConfigMap, key and file that a pod is told of is there."""
    held = holdings(items("secrets,configmaps", "-n", NAMESPACE))
    pods = pods_in(items("deployments,jobs", "-n", NAMESPACE))
    lacks = [f"{name}: {words}" for name, pod in pods.items() for words in missing(pod, held)]
    if lacks:
        raise Failed("; ".join(lacks))
    count = sum(len(containers(pod)) for pod in pods.values())
    secrets = sorted(name for kind, name in held if kind == "Secret")
    return f"{count} containers, in {', '.join(secrets)}"


def restricted_is_enforced(system: System) -> str:
    """The namespace refuses a pod that may do more than ours."""
    container = {"name": "any", "image": NOWHERE, "securityContext": {"privileged": True}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "may-do-anything", "namespace": NAMESPACE},
        "spec": {"containers": [container]},
    }
    answer = run("create", "--dry-run=server", "-f", "-", given=text_of([pod]))
    if answer.code == 0 or "violates PodSecurity" not in answer.err:
        raise Failed(f"a privileged pod was not refused: {answer.out}{answer.err}")
    return f"a privileged pod is refused, the {len(pods_of())} of ours were admitted"


def pods_spread_over_zones(system: System) -> str:
    """No zone has two pods of a service more than another."""
    zone_of = zones()
    if len(set(zone_of.values())) < 2:
        raise NotShown("the nodes are not in different zones")
    if len(pods_of()) == len(system.deployments):
        raise NotShown("there is one pod of each service")
    told = []
    for service in system.deployments:
        counted = by_zone(service, zone_of)
        if max(counted.values()) - min(counted.values()) > 1:
            raise Failed(f"{service}: {dict(counted)}")
        told.append(f"{service} {'+'.join(str(counted[zone]) for zone in sorted(counted))}")
    return ", ".join(told)
