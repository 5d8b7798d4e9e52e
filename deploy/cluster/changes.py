"""What is claimed of a setting that changes: every pod is told, and meanwhile no service lacks one."""

from dataclasses import replace

import yaml

from deploy.claims import Failed
from deploy.cluster.disruptions import fewest_available
from deploy.cluster.kubectl import Object, text_of
from deploy.cluster.system import System, pods_of


def a_changed_setting_reaches_every_pod(system: System) -> str:
    """The migration, which cannot change, is taken away; then all is applied, as docs/operate/install.md has it."""
    wanted = system.until_available()
    before = {pod["metadata"]["uid"] for pod in pods_of()}
    changed = replace(system, objects=_with_another_setting(system.objects))
    with fewest_available(wanted) as fewest:
        try:
            _apply_anew(changed)
            after = {pod["metadata"]["uid"] for pod in pods_of()}
        finally:
            _apply_anew(system)
    if kept := before & after:
        raise Failed(f"{len(kept)} of {len(before)} pods were not replaced")
    if short := {name: fewest[name] for name, n in wanted.items() if fewest[name] < n}:
        raise Failed(f"fewer pods than before were available: {short}")
    return f"all {len(before)} pods were replaced, twice, and never fewer were available"


def _apply_anew(system: System) -> None:
    system.remove_migration()
    system.apply()
    system.until_migrated()
    system.until_available()


def _with_another_setting(objects: list[Object]) -> list[Object]:
    """As kustomize would build it: under a new name, which all that name it know."""
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    name = next(
        each["configMapRef"]["name"] for each in container["envFrom"] if "configMapRef" in each
    )
    renamed = text_of(objects).replace(name, f"{name}-changed")
    found: list[Object] = list(yaml.safe_load_all(renamed))
    (settings,) = (each for each in found if each["metadata"]["name"] == f"{name}-changed")
    settings["data"]["AFTERWORD_LOG_LEVEL"] = "warning"
    return found
