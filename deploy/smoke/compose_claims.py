"""What is claimed of deploy/compose.yaml while it runs: it says what is missing, confines, keeps, comes back and ends."""

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import yaml

from deploy.claims import Failed, NotShown
from deploy.cluster.kubectl import Object
from deploy.programs import wait_for
from deploy.smoke.composed import FILE, Composed
from deploy.smoke.confined import CONFINED, must_be_confined
from deploy.smoke.ground import WORKSPACE, files_of
from shared.auth import mint_key

PATIENCE_SECONDS = 180.0
_IN_DATABASE = ("exec", "-T", "postgres")
_AS = ("-U", "afterword")


def what_is_missing_is_named(system: Composed) -> str:
    """Without one of what it needs Compose does nothing and says which."""
    needed = set(re.findall(r"\$\{(\w+):\?", FILE.read_text(encoding="utf-8")))
    for name in needed:
        answer = system.run("config", "--quiet", without=name)
        if answer.code == 0 or name not in answer.err:
            raise Failed(f"without {name}: {answer.code} {answer.err.strip()[-500:]}")
    return ", ".join(sorted(needed))


def all_of_it_starts(system: Composed) -> str:
    """`up --wait` ends well, what prepares has ended with 0, the rest is healthy, and the origin is ready."""
    started = time.monotonic()
    system.must("up", "--detach", "--wait")
    seconds = time.monotonic() - started
    containers = system.containers()
    for name in system.preparing():
        if containers[name]["State"]["ExitCode"]:
            raise Failed(f"{name}: {system.engine.logs(containers[name]['Id'])[-1500:]}")
    for name in system.living():
        if containers[name]["State"]["Health"]["Status"] != "healthy":
            raise Failed(f"{name} is not healthy, and yet `up --wait` ended well")
    return f"{len(containers)} containers, in {seconds:.0f} s"


def the_origin_alone_has_a_port(system: Composed) -> str:
    """No other container has one on this machine."""
    bound = {
        name: places
        for name, container in system.containers().items()
        if (places := _bound(container["HostConfig"]["PortBindings"]))
    }
    told = [(each["HostIp"], each["HostPort"]) for each in bound.get("origin", ())]
    if bound.keys() != {"origin"} or told != [("127.0.0.1", system.settings["AFTERWORD_PORT"])]:
        raise Failed(str(bound))
    return "on 127.0.0.1"


def ours_may_do_nothing(system: Composed) -> str:
    """What the kernel and the engine say of each container of ours that runs."""
    found = system.containers()
    for name in system.ours():
        must_be_confined(system.engine, found[name])
    return CONFINED


def a_backup_is_put_back(system: Composed) -> str:
    """The lines of the documentation write all four schemas down, and bring back what they held."""
    dump = system.must(*_IN_DATABASE, "pg_dump", *_AS, "afterword").out
    schemas = re.findall(r"^CREATE SCHEMA (\w+);$", dump, re.MULTILINE)
    if "\r" in dump or "PostgreSQL database dump complete" not in dump or len(schemas) != 4:
        raise Failed(f"{len(dump)} bytes, schemas {schemas}")
    system.must("stop", *system.ours())
    for program in ("dropdb", "createdb"):
        system.must(*_IN_DATABASE, program, *_AS, "--maintenance-db=postgres", "afterword")
    psql = ("psql", *_AS, "-q", "-v", "ON_ERROR_STOP=1", "afterword")
    system.must(*_IN_DATABASE, *psql, given=dump)
    system.must("up", "--detach", "--wait")
    return f"{len(dump) / 1024:.0f} KiB, {', '.join(schemas)}; {_the_score(system)}"


def a_key_is_known_without_a_restart(system: Composed) -> str:
    """A new key in the access file is taken by the services that run, and refused once it is removed."""
    path = files_of(system.directory) / "access.yaml"
    before = path.read_text()
    presented, hashed = mint_key("later")
    document = yaml.safe_load(before)
    entry = {"id": "later", "workspace": WORKSPACE, "hash": hashed, "scopes": ["*"]}
    path.write_text(yaml.safe_dump({**document, "keys": [*document["keys"], entry]}))
    told = [_until(system, presented, 200)]
    path.write_text(before)
    told.append(_until(system, presented, 401))
    return f"200 after {told[0]:.1f} s, 401 after {told[1]:.1f} s"


def what_is_killed_comes_back(system: Composed) -> str:
    """Each container's first process is killed; the engine starts it again, and in the end the origin is ready."""
    started = time.monotonic()
    killed = {name: system.containers()[name]["State"]["Pid"] for name in system.living()}
    for pid in killed.values():
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:
            raise NotShown("only root may kill what an engine has started") from None
    wait_for(lambda: _all_again(system, killed), "all to be healthy again", PATIENCE_SECONDS)
    return f"{len(killed)} of them, in {time.monotonic() - started:.0f} s"


def all_end_in_order(system: Composed) -> str:
    """SIGTERM ends each within the time that the file gives it: ours with 0, nobody by SIGKILL."""
    started = time.monotonic()
    system.must("stop")
    seconds = time.monotonic() - started
    codes = {name: each["State"]["ExitCode"] for name, each in system.containers().items()}
    ours = {codes[name] for name in system.ours()}
    if ours != {0} or 137 in codes.values():
        raise Failed(str(codes))
    return f"in {seconds:.0f} s; {codes}"


def down_and_up_keeps_all(system: Composed) -> str:
    """New containers find what the volumes hold: the answer counts as it did."""
    system.must("down")
    system.must("up", "--detach", "--wait")
    return _the_score(system)


def _the_score(system: Composed) -> str:
    """The one answer of the journey, counted as it was."""
    items = _get(system, system.key, "/v1/scores?metric=purchase-nps.recommend").json()["items"]
    if [(each["n"], each["value"]) for each in items] != [(1, -100.0)]:
        raise Failed(str(items))
    return "the answer counts as it did"


def _bound(ports: Mapping[str, list[Object] | None]) -> list[Object]:
    """The places on this machine; podman lists ports that have none."""
    return [each for places in ports.values() for each in places or ()]


def _all_again(system: Composed, killed: Mapping[str, int]) -> bool | None:
    found = system.containers()
    for name, pid in killed.items():
        state = found[name]["State"]
        if state["Pid"] in (0, pid) or state["Health"]["Status"] != "healthy":
            return None
    return _get(system, system.key, "/health/ready").status_code == 200 or None


def _until(system: Composed, key: str, wanted: int) -> float:
    """How long until every service answers this key so."""
    started = time.monotonic()

    def so() -> bool | None:
        paths = ("/v1/surveys", "/v1/triggers", "/v1/scores?metric=x", "/v1/alerts")
        codes = {_get(system, key, path).status_code for path in paths}
        return codes == {wanted} or None

    wait_for(so, f"{wanted} for a key", PATIENCE_SECONDS)
    return time.monotonic() - started


def _get(system: Composed, key: str, path: str) -> httpx.Response:
    headers: dict[str, Any] = {"authorization": f"Bearer {key}"}
    return httpx.get(system.origin + path, headers=headers, timeout=30, trust_env=False)


CLAIMS_AT_START: tuple[Callable[[Composed], str], ...] = (
    what_is_missing_is_named,
    all_of_it_starts,
    the_origin_alone_has_a_port,
    ours_may_do_nothing,
)
CLAIMS_AT_END: tuple[Callable[[Composed], str], ...] = (
    a_backup_is_put_back,
    a_key_is_known_without_a_restart,
    what_is_killed_comes_back,
    all_end_in_order,
    down_and_up_keeps_all,
)
