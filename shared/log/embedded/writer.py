"""The one thread that writes: it takes all jobs that wait into one database transaction."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from shared.errors import Unavailable

Result = TypeVar("Result")
MOST_JOBS = 2_000


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[sqlite3.Connection], Any]
    then: Callable[[Any], None] | None
    answer: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


class Writer:
    """Group commit: a job is answered only after the transaction that holds it is on disk.

    Jobs are taken in the order in which they came. A transaction that fails changes nothing and answers
    all of its jobs with `Unavailable`; `forget` is called before the next one, to read anew what was remembered.
    """

    def __init__(
        self, connection: sqlite3.Connection, forget: Callable[[sqlite3.Connection], None]
    ) -> None:
        self._connection = connection
        self._forget = forget
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._closed = False
        self._stale = False

    def start(self) -> None:
        self._thread.start()

    async def do(
        self,
        run: Callable[[sqlite3.Connection], Result],
        then: Callable[[Result], None] | None = None,
    ) -> Result:
        """Run a job in the writer's next transaction, and `then` in the event loop once it is on disk.

        A cancelled caller undoes neither.
        """
        if self._closed:
            raise Unavailable("the log is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._jobs.put(_Job(run, then, answer, loop))
        return cast(Result, await answer)

    def close(self) -> None:
        """Blocks until every job given so far is done."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            jobs, last = self._waiting()
            if jobs:
                self._transact(jobs)
            if last:
                return

    def _waiting(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) >= MOST_JOBS:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs, False
        return jobs, True

    def _transact(self, jobs: list[_Job]) -> None:
        try:
            if self._stale:
                self._forget(self._connection)
                self._stale = False
            self._connection.execute("BEGIN IMMEDIATE")
            results = [job.run(self._connection) for job in jobs]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, it answers the callers and the thread lives on
            self._roll_back()
            failure = Unavailable(f"the log could not be written: {error}")
            failure.__cause__ = error
            _answer([(job, failure) for job in jobs], failed=True)
        else:
            _answer(list(zip(jobs, results, strict=True)), failed=False)

    def _roll_back(self) -> None:
        self._stale = True
        # SQLite has often rolled back by itself by now; what matters is that no transaction stays open.
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _answer(answers: list[tuple[_Job, Any]], *, failed: bool) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Any]]] = {}
    for job, answer in answers:
        by_loop.setdefault(job.loop, []).append((job, answer))
    for loop, theirs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, theirs, failed)


def _resolve(answers: list[tuple[_Job, Any]], failed: bool) -> None:
    for job, answer in answers:
        if not failed and job.then is not None:
            job.then(answer)
        if job.answer.done():
            continue
        if failed:
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)
