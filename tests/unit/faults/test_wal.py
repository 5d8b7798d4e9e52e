"""A torn tail of a write-ahead log is really torn, and costs SQLite nothing that was committed."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.faults.faults.wal import tear


def written(directory: Path) -> Path:
    """A database that was not closed: 50 commits are in its write-ahead log alone."""
    source = directory / "source.db"
    connection = sqlite3.connect(source, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE numbers (n INTEGER)")
    for n in range(50):
        connection.execute("INSERT INTO numbers VALUES (?)", (n,))
    left = directory / "left.db"
    shutil.copy(source, left)
    shutil.copy(f"{source}-wal", f"{left}-wal")
    connection.close()
    return left


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (n,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
    connection.close()
    return int(n)


@pytest.mark.parametrize("seed", range(6))
def test_a_torn_tail_costs_nothing(tmp_path: Path, seed: int) -> None:
    path = written(tmp_path)
    wal = Path(f"{path}-wal")
    before = wal.read_bytes()
    assert tear(wal, random.Random(seed))
    assert wal.read_bytes()[: len(before)] == before
    assert len(wal.read_bytes()) > len(before)
    assert count(path) == 50


def test_the_same_frame_written_whole_would_be_taken(tmp_path: Path) -> None:
    """The header is right, so that only the missing half of the page keeps the frame out."""
    path = written(tmp_path)
    wal = Path(f"{path}-wal")

    class Whole(random.Random):
        def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
            whole = step > 1 and stop is not None
            return stop if whole and stop else super().randrange(start, stop, step)

    assert tear(wal, Whole(1))
    with pytest.raises((sqlite3.DatabaseError, AssertionError)):
        count(path)


def test_an_empty_log_has_nothing_to_tear(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db-wal"
    empty.touch()
    assert not tear(empty, random.Random(1))
