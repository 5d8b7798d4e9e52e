"""Faults of the one embedded process: killed, started twice, its files torn, its disk full.

Finds a build that answers before its files are on the disk, lets two processes write them, or starts with half a page.
"""

import asyncio
import random
import signal
from pathlib import Path

from deploy.local.ports import free_port
from tests.e2e.system import Process
from tests.faults.faults.wal import tear
from tests.faults.laboratory import after
from tests.faults.one_process import OneProcess
from tests.support import eventually

_REFUSED = "another process already uses the log"


async def killed(lab: OneProcess, rng: random.Random) -> None:
    """Kill -9 at a moment of load, and start again."""
    await after(rng.uniform(0.0, 3.0))
    await asyncio.to_thread(lab.process.end, signal.SIGKILL)
    await lab.restart(lab.process)


async def second_process(lab: OneProcess, rng: random.Random) -> None:
    """A second process on the same directory is refused in a sentence, and the first goes on."""
    first = lab.process
    pid = _pid(first)
    port = str(free_port())
    arguments = ["dev", "--port", port, "--data", str(lab.data), "--key", lab.system.keys["acme"]]
    url = f"http://127.0.0.1:{port}"
    second = Process(url, arguments, first.environment, lab.system.directory / "second.log")
    second.start()
    code = await asyncio.to_thread(second.wait_for_exit, 60)
    said = second.log.read_text()
    assert code == 1, f"a second process on the directory ended with {code}: {said[-500:]}"
    assert _REFUSED in " ".join(said.split()), f"the second process said only {said[-500:]}"
    assert "Traceback" not in said, f"the second process fell over: {said[-500:]}"
    assert first.running(), "the first process ended with the second"
    assert _pid(first) == pid


async def torn_page(lab: OneProcess, rng: random.Random) -> None:
    """Killed while it wrote: behind the last whole frame of each write-ahead log stands the half of one."""
    await after(rng.uniform(0.0, 3.0))
    await asyncio.to_thread(lab.process.end, signal.SIGKILL)
    torn = [path for path in sorted(lab.data.glob("*.db-wal")) if tear(path, rng)]
    assert _log(lab) in torn, "the log had nothing in its write-ahead log that could be torn"
    await lab.restart(lab.process)


async def disk_full(lab: OneProcess, rng: random.Random) -> None:
    """No byte left on the disk: what cannot be kept is answered 503, by a process that stays up."""
    disk = lab.disk
    assert disk is not None
    pid = _pid(lab.process)
    answered = lab.workload.ledger.statuses
    before = answered[503]
    try:

        async def refused() -> bool:
            await asyncio.to_thread(disk.fill)  # also what a checkpoint has given back
            return answered[503] > before + 5

        await eventually(refused, seconds=60, every=0.2, what="a 503 on a full disk")
        await after(rng.uniform(1.0, 4.0))
    finally:
        disk.free()
    assert lab.process.running(), f"ended on a full disk: {lab.process.log.read_text()[-2000:]}"
    assert _pid(lab.process) == pid


def _log(lab: OneProcess) -> Path:
    return lab.data / "log.db-wal"


def _pid(process: Process) -> int:
    assert process.child is not None
    return process.child.pid
