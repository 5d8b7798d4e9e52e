"""What only the log in a SQLite file promises: kill -9, one process, retention, compaction, a full disk."""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.errors import StartupError, Unavailable
from shared.log import Log, Outgoing, TopicPartition, TopicSpec
from shared.log.opening import open_log
from tests.integration.log.conftest import DAY_MS

_WRITER = """
import asyncio, sys
from shared.log import Outgoing, TopicSpec
from shared.log.opening import open_log

async def main():
    async with open_log(sys.argv[1]) as log, log.producer() as producer:
        await log.create_topics([TopicSpec("events", 2, 86_400_000)])
        async def work(worker):
            for n in range(10**9):
                await producer.send([Outgoing("events", b"%d" % worker, b"%d" % n)] * 3)
                print(worker, n, flush=True)
        await asyncio.gather(*(work(worker) for worker in range(8)))

asyncio.run(main())
"""


async def everything(
    log: Log, topic: str, partitions: int
) -> list[tuple[bytes | None, bytes | None]]:
    found: list[tuple[bytes | None, bytes | None]] = []
    for partition in range(partitions):
        offset = 0
        while page := await log.read(TopicPartition(topic, partition), offset, max_records=1000):
            found += [(record.key, record.value) for record in page]
            offset = page[-1].offset + 1
    return found


async def test_a_kill_loses_nothing_acknowledged_and_writes_no_half_send(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log"
    acknowledged: set[tuple[bytes, bytes]] = set()
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, url],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        ) as writer:
            assert writer.stdout is not None
            for _ in range(200):
                worker, n = writer.stdout.readline().split()
                acknowledged.add((worker, n))
            os.kill(writer.pid, signal.SIGKILL)
            for line in writer.stdout:
                if line.endswith(b"\n"):
                    worker, n = line.split()
                    acknowledged.add((worker, n))
        async with open_log(url) as log:
            found = await everything(log, "events", 2)
        assert acknowledged <= set(found)
        assert all(found.count(one) % 3 == 0 for one in acknowledged)


async def test_a_second_process_is_refused_in_one_sentence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log"
    async with open_log(url):
        with pytest.raises(StartupError, match="another process already uses the log in"):
            async with open_log(url):
                pass
        child = subprocess.run(
            [sys.executable, "-c", _WRITER, url],
            capture_output=True,
            cwd=Path(__file__).parents[3],
            timeout=30,
        )
        assert b"another process already uses the log" in child.stderr
    async with open_log(url):
        pass


@pytest.mark.parametrize(
    "url", ["sqlite:////proc/nowhere/log", "sqlite:///", "sqlite:////tmp/x?colour=red"]
)
async def test_a_directory_that_cannot_be_used_is_told(url: str) -> None:
    with pytest.raises(StartupError):
        async with open_log(url):
            pass


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StartupError, match="cannot be opened"):
        async with open_log(f"sqlite:///{tmp_path}"):
            pass


async def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    async with open_log(f"sqlite:///{tmp_path}"):
        pass
    with sqlite3.connect(tmp_path / "log.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StartupError, match="version 99"):
        async with open_log(f"sqlite:///{tmp_path}"):
            pass


async def test_a_relative_directory_is_below_where_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_log("sqlite:///here/log"):
        assert (tmp_path / "here" / "log" / "log.db").exists()


async def test_records_past_their_retention_are_deleted_from_the_front(tmp_path: Path) -> None:
    at = TopicPartition("events", 0)
    async with (
        open_log(f"sqlite:///{tmp_path}?sweep_seconds=0.05") as log,
        log.producer() as producer,
    ):
        await log.create_topics([TopicSpec("events", 1, 1_000), TopicSpec("kept", 1, None)])
        await producer.send([Outgoing("events", b"k", b"%d" % n) for n in range(2500)])
        await producer.send([Outgoing("kept", b"k", b"")])
        deadline = time.monotonic() + 20
        while (await log.lag("g", ["events"]))[at].start < 2500:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert await log.read(at, 0, max_records=10) == []
        await producer.send([Outgoing("events", b"k", b"new")])
        assert [record.offset for record in await log.read(at, 0, max_records=10)] == [2500]
        assert len(await log.read(TopicPartition("kept", 0), 0, max_records=10)) == 1
    async with open_log(f"sqlite:///{tmp_path}") as log:
        assert (await log.lag("g", ["events"]))[at].start >= 2500


async def test_compaction_keeps_the_last_record_of_each_key_and_its_place(tmp_path: Path) -> None:
    at = TopicPartition("customers", 0)
    async with (
        open_log(f"sqlite:///{tmp_path}?sweep_seconds=0.05") as log,
        log.producer() as producer,
    ):
        await log.create_topics([TopicSpec("customers", 1, None, compacted=True)])
        await producer.send(
            [Outgoing("customers", b"k%d" % (n % 100), b"%d" % n) for n in range(2500)]
        )
        await producer.send([Outgoing("customers", b"k7", None)])
        deadline = time.monotonic() + 20
        while len(records := await log.read(at, 0, max_records=5000)) > 100:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert [record.offset for record in records] == [*range(2400, 2407), *range(2408, 2501)]
        assert (records[-1].key, records[-1].value) == (b"k7", None)
        lag = (await log.lag("g", ["customers"]))[at]
        assert (lag.start, lag.end) == (0, 2501)
        async with log.consumer("g", ["customers"]) as consumer:
            fetched = await consumer.fetch(max_records=500, timeout_seconds=1)
            assert [record.offset for record in fetched[at]] == [
                record.offset for record in records
            ]


async def test_a_locked_file_and_a_full_disk_are_unavailable_and_pass(tmp_path: Path) -> None:
    async with open_log(f"sqlite:///{tmp_path}") as log, log.producer() as producer:
        await log.create_topics([TopicSpec("events", 1, DAY_MS)])
        await producer.send([Outgoing("events", b"k", b"0")])
        with sqlite3.connect(tmp_path / "log.db", isolation_level=None) as thief:
            thief.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="could not be written"):
                await producer.send([Outgoing("events", b"k", b"1")])
            thief.execute("ROLLBACK")
        thief.close()
        # A file size limit is a full disk that one test can have for itself.
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
        try:
            with pytest.raises(Unavailable, match="could not be written"):
                await producer.send([Outgoing("events", b"k", b"x" * 900_000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await producer.send([Outgoing("events", b"k", b"2")])
        records = await log.read(TopicPartition("events", 0), 0, max_records=10)
        assert [(record.offset, record.value) for record in records] == [(0, b"0"), (1, b"2")]


async def test_a_cancelled_send_never_hides_what_it_wrote(tmp_path: Path) -> None:
    async with open_log(f"sqlite:///{tmp_path}") as log, log.producer() as producer:
        await log.create_topics([TopicSpec("events", 1, DAY_MS)])
        for n in range(50):
            sending = asyncio.create_task(producer.send([Outgoing("events", b"k", b"%d" % n)]))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait({sending})
        at = TopicPartition("events", 0)
        deadline = time.monotonic() + 10
        while len(await log.read(at, 0, max_records=100)) < 50:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_a_fetch_holds_no_more_than_fits_in_memory(tmp_path: Path) -> None:
    async with open_log(f"sqlite:///{tmp_path}") as log:
        await log.create_topics([TopicSpec("big", 1, None)])
        async with log.producer() as producer:
            await producer.send([Outgoing("big", b"k", b"x" * 900_000) for _ in range(24)])
        at, offset, pages = TopicPartition("big", 0), 0, []
        while records := await log.read(at, offset, max_records=1_000):
            pages.append(sum(len(record.value or b"") for record in records))
            offset = records[-1].offset + 1
    assert offset == 24
    assert max(pages) < 10_000_000
