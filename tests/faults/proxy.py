"""A TCP proxy on this machine whose connections can be cut, stopped, or cut at the very moment a COMMIT has happened."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

COMMITTED = b"COMMIT\x00"
"""The tag of PostgreSQL's answer to a COMMIT."""


class Proxy:
    """Passes bytes on, both ways, to one port."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.cut_after_commits: int | None = None
        """Cut the connection whose COMMIT is the nth from now, after it has happened and before it is told."""
        self.cut = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()

    def cut_all(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def pause(self) -> None:
        """Let nothing through, as a network that drops everything."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection; what it does ends with it or with `close`."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        mine = {writer, there}
        self._writers |= mine
        passing = [
            asyncio.create_task(self._pass(reader, there)),
            asyncio.create_task(self._pass(there_reader, writer, watch=True)),
        ]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            self._writers -= mine
            for each in mine:
                each.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watch: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                if watch and self._is_the_one(data):
                    self.cut += 1
                    return
                writer.write(data)
                await writer.drain()

    def _is_the_one(self, data: bytes) -> bool:
        if self.cut_after_commits is None or COMMITTED not in data:
            return False
        self.cut_after_commits -= 1
        if self.cut_after_commits > 0:
            return False
        self.cut_after_commits = None
        return True


@asynccontextmanager
async def open_proxy(target: int) -> AsyncIterator[Proxy]:
    """Listen on a free port and pass on to the target."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
