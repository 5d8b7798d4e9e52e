"""The embedded system of a demo as a process of its own, so that it and its customers each have a core."""

import asyncio
import os
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import uvloop

from services.cli.client import ApiError
from services.cli.context import Context
from services.cli.dev import WORKSPACE, open_embedded, prepare, serve_embedded
from shared.errors import StartupError
from shared.telemetry import configure_logging

DEMO = "demo"
"""The workspace that the purchases run through; `dev`, beside it, is for trying things."""

COMMAND = "demo-system"
"""The hidden command that the process runs."""

_READY_SECONDS = 60.0
_END_SECONDS = 15.0
_LOG = "system.log"


def serve_demo(data: Path, port: int) -> None:
    """The other side of `embedded`: serve the prepared directory until SIGTERM or the end of stdin."""
    configure_logging("warning", json=False)
    uvloop.run(_serve(data, port))


async def _serve(data: Path, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_wait_for_end, args=(loop, stop), daemon=True).start()
    async with open_embedded(data, f"http://127.0.0.1:{port}") as system:
        await serve_embedded(system, port, stop)


def _wait_for_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(
        sys.stdin.fileno(), 4096
    ):  # not through a buffer, whose lock the interpreter's end waits for
        pass
    loop.call_soon_threadsafe(stop.set)


def free_port() -> int:
    """A port of this machine that nobody listens on at this moment."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


@contextmanager
def directory(named: Path | None) -> Iterator[Path]:
    """The named directory, which must be empty or new and is kept; else a temporary one, removed at the end."""
    if named is None:
        with tempfile.TemporaryDirectory(prefix="afterword-demo-") as made:
            yield Path(made)
        return
    if named.exists() and (not named.is_dir() or any(named.iterdir())):
        raise StartupError(f"{named} is not an empty directory: the demo needs a fresh one")
    yield named


@asynccontextmanager
async def embedded(data: Path, port: int) -> AsyncIterator[dict[str, Context]]:
    """Start a system on the directory and end it; yields the context of each workspace. Raises `StartupError`."""
    _check_free(port)
    keys = prepare(data, {WORKSPACE: {}, DEMO: {"clock": "event"}})
    url = f"http://127.0.0.1:{port}"
    with (data / _LOG).open("wb") as log:
        # A session of its own: Ctrl-C is ours to handle. Its stdin ends with this process, and it with its stdin.
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", COMMAND, str(data), str(port),
            stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        await _wait_until_ready(child, url, data / _LOG)
        yield {workspace: Context(url, key) for workspace, key in keys.items()}
    except ApiError as error:
        if child.returncode is None:
            raise
        raise StartupError(
            f"the embedded system ended by itself: {_last_line(data / _LOG)}"
        ) from error
    finally:
        await _end(child)


def _check_free(port: int) -> None:
    """Whoever listens there would be taken for the system."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartupError(
                f"cannot listen on port {port}: {error.strerror}; choose another with --port"
            ) from error


async def _wait_until_ready(child: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(_READY_SECONDS):
        while True:
            if child.returncode is not None:
                raise StartupError(f"the embedded system did not start: {_last_line(log)}")
            try:
                if (await client.get(f"{url}/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.05)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("afterword: ") if lines else "it said nothing"
