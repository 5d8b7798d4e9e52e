"""What is claimed of rollouts that cannot succeed: they stop, and what ran before goes on."""

from collections.abc import Callable
from copy import deepcopy

from deploy.claims import Failed, NotShown
from deploy.cluster.kubectl import Object, items, must, text_of
from deploy.cluster.system import NAMESPACE, NOWHERE, System, is_ready, pods_of
from deploy.programs import wait_for

_PULLING = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"}
_GIVEN_UP_SECONDS = 15


def a_bad_image_stops_its_rollout(system: System) -> str:
    """The new pod cannot start, and every old one goes on."""

    def edit(pod: Object) -> None:
        pod["containers"][0]["image"] = NOWHERE

    return _stopped_rollout(system, edit, _cannot_pull)


def a_rollout_without_room_stops(system: System) -> str:
    """The new pod finds no node, and every old one goes on."""

    def edit(pod: Object) -> None:
        pod["nodeSelector"] = {"afterword.invalid/nowhere": "true"}

    return _stopped_rollout(system, edit, _finds_no_node)


def _stopped_rollout(
    system: System, edit: Callable[[Object], None], reason: Callable[[Object], str | None]
) -> str:
    """Roll out what cannot start, until Kubernetes itself says that it does not get on; then take it back."""
    service = system.deployments[0]
    system.until_available()
    old = {pod["metadata"]["uid"] for pod in pods_of(service)}
    changed = deepcopy(next(each for each in system.objects if _is_deployment(each, service)))
    edit(changed["spec"]["template"]["spec"])
    changed["spec"]["progressDeadlineSeconds"] = _GIVEN_UP_SECONDS
    try:
        given = text_of([changed])
        must("apply", "--server-side", "--force-conflicts", "-f", "-", given=given)
        why = wait_for(
            lambda: _given_up(service, old, reason),
            f"the rollout of {service} to be given up",
            system.patience_seconds,
        )
        left = {pod["metadata"]["uid"] for pod in pods_of(service) if is_ready(pod)}
    finally:
        system.apply()
        system.until_available()
    if not old <= left:
        raise Failed(f"{service}: {len(old - left)} of {len(old)} old pods are gone")
    return f"{service}: {why}; all {len(old)} old pods stayed ready"


def _is_deployment(each: Object, name: str) -> bool:
    return bool(each["kind"] == "Deployment" and each["metadata"]["name"] == name)


def _given_up(service: str, old: set[str], reason: Callable[[Object], str | None]) -> str | None:
    new = [pod for pod in pods_of(service) if pod["metadata"]["uid"] not in old]
    if any(is_ready(pod) for pod in new):
        raise NotShown("a pod that cannot start became ready: the nodes here run no containers")
    (deployment,) = (
        each
        for each in items("deployments", "-n", NAMESPACE)
        if each["metadata"]["name"] == service
    )
    stopped = any(
        each["type"] == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded"
        for each in deployment["status"].get("conditions", ())
    )
    reasons = {found for pod in new if (found := reason(pod))}
    return f"{', '.join(sorted(reasons))}, and the rollout was given up" if stopped else None


def _cannot_pull(pod: Object) -> str | None:
    waiting = [
        each["state"].get("waiting", {}).get("reason")
        for each in pod["status"].get("containerStatuses", ())
    ]
    return next((reason for reason in waiting if reason in _PULLING), None)


def _finds_no_node(pod: Object) -> str | None:
    return next(
        (
            each.get("reason")
            for each in pod["status"].get("conditions", ())
            if each["type"] == "PodScheduled" and each["status"] == "False"
        ),
        None,
    )
