"""Applies the overlays to the cluster that KUBECONFIG names, one after the other, and shows what is claimed of them.

`python -m deploy.cluster.check` makes the namespace `afterword` and removes it again; it refuses a cluster that has one.
Without `--image` and `--secrets` it works with what cannot run: pods then become available only where nodes run none.
The overlay `full` is applied when it is named, where no operator runs: the Secrets that they would make are made up.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.claims import Failed, NotShown, shown
from deploy.cluster import changes, claims, disruptions, operators, rollouts
from deploy.cluster.kubectl import (
    K8S,
    Object,
    items,
    kind_of,
    kinds,
    must,
    overlay,
    run,
    text_of,
    warnings_in,
)
from deploy.cluster.system import NAMESPACE, System

CLAIMS: tuple[Callable[[System], str], ...] = (
    claims.second_apply_changes_nothing,
    claims.pods_find_what_they_name,
    claims.restricted_is_enforced,
    claims.pods_spread_over_zones,
    changes.a_changed_setting_reaches_every_pod,
    disruptions.budgets_refuse_evictions,
    disruptions.a_drain_respects_the_budgets,
    rollouts.a_bad_image_stops_its_rollout,
    rollouts.a_rollout_without_room_stops,
)


def main() -> None:
    """Check each overlay; exit 1 when a claim does not hold."""
    options = _options()
    try:
        _refuse_to_lose_anything()
        held = [_check(name, options) for name in options.overlay]
        held.append(_admitted("full"))
    except Failed as failed:
        sys.exit(str(failed))
    sys.exit(0 if all(held) else 1)


def _refuse_to_lose_anything() -> None:
    if any(each["metadata"]["name"] == NAMESPACE for each in items("namespaces")):
        raise Failed(f"the cluster has a namespace {NAMESPACE}: use one where nothing can be lost")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlay", nargs="*", default=["dev", "prod"])
    parser.add_argument("--image", help="The image to run instead of the overlay's")
    parser.add_argument("--secrets", type=Path, help="A file of the Secrets that pods need")
    parser.add_argument("--patience", type=float, default=300.0, help="Seconds for each change")
    return parser.parse_args()


def _check(name: str, options: argparse.Namespace) -> bool:
    print(f"\n{name}", flush=True)
    objects = overlay(name, options.image)
    system = System(_known(objects), options.patience)
    with _namespace():
        made_up = text_of(operators.standing_in(objects, NAMESPACE))
        secrets = options.secrets.read_text() if options.secrets else made_up
        must("apply", "--server-side", "-n", NAMESPACE, "-f", "-", given=secrets)
        if not shown("applied without a warning", _apply, system):
            return False
        held = [shown(claim.__name__.replace("_", " "), claim, system) for claim in CLAIMS]
        return all(held)


@contextmanager
def _namespace() -> Iterator[None]:
    """The namespace as the base has it, and nothing of it afterwards."""
    must("apply", "--server-side", "-f", str(K8S / "base" / "namespace.yaml"))
    try:
        yield
    finally:
        must("delete", "namespace", NAMESPACE, "--wait")


def _apply(system: System) -> str:
    if warnings := system.apply():
        raise Failed("; ".join(warnings))
    system.until_migrated()
    pods = system.until_available()
    told = ", ".join(f"{name} {n}" for name, n in pods.items())
    return f"{len(system.objects)} objects by --server-side; available: {told}"


def _admitted(name: str) -> bool:
    """Whether the API server takes every object, kind by kind, without a warning."""
    print(f"\n{name}, as the API server takes it; nothing of it is kept", flush=True)
    with _namespace():
        held = [shown(kind, _dry_run, each) for kind, each in _by_kind(overlay(name))]
        return all(held)


def _dry_run(objects: list[Object]) -> str:
    given = text_of(objects)
    answer = run("apply", "--server-side", "--dry-run=server", "-f", "-", given=given)
    if "no matches for kind" in answer.err:
        raise NotShown("the cluster does not know the kind")
    if answer.code or warnings_in(answer):
        raise Failed(answer.err.strip()[-1500:])
    return f"{len(objects)} admitted"


def _by_kind(objects: list[Object]) -> Iterator[tuple[str, list[Object]]]:
    for kind in sorted({kind_of(each) for each in objects}):
        yield kind, [each for each in objects if kind_of(each) == kind]


def _known(objects: list[Object]) -> list[Object]:
    """The objects of kinds that the cluster knows; the others are told of and left out."""
    known = kinds()
    for kind, each in _by_kind(objects):
        if kind not in known:
            print(f"  not shown here  {kind}: the cluster does not know the kind, {len(each)}")
    return [each for each in objects if kind_of(each) in known]


if __name__ == "__main__":
    main()
