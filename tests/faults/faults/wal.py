"""Tears the tail of a SQLite write-ahead log as a power cut in mid-write would, behind all that was flushed."""

import random
import struct
from pathlib import Path

_HEADER = 32
_FRAME_HEADER = 24
_BIG_ENDIAN_SUMS = 0x377F0683
_SECTOR = 512


def tear(path: Path, rng: random.Random) -> bool:
    """Write the half of a frame behind the last committed one: a header that is right, a page that is not whole.

    Nothing that was committed is touched: that would be the disk's crime, and no program could answer for it.
    Returns whether there was anything committed to write behind.
    """
    data = path.read_bytes()
    end, sums = _end_of_commits(data)
    if end == _HEADER:
        return False
    order, size = _order(data), _page_size(data)
    page = rng.randbytes(size)
    begins = struct.pack(">II", rng.randint(1, 2), rng.randint(2, 50))
    sums = checksum(page, checksum(begins, sums, order), order)
    header = begins + data[16:24] + struct.pack(">II", *sums)
    written = rng.randrange(_SECTOR, size, _SECTOR)
    rest = b"" if rng.random() < 0.5 else bytes(size - written)
    with path.open("r+b") as file:
        file.seek(end)
        file.write(header + page[:written] + rest)
        if not rest:
            file.truncate()
    return True


def _end_of_commits(data: bytes) -> tuple[int, tuple[int, int]]:
    """Where the last whole committed frame ends, and the sums up to there."""
    end, at = _HEADER, _HEADER
    if len(data) < _HEADER:
        return _HEADER, (0, 0)
    order, size, salts = _order(data), _page_size(data), data[16:24]
    sums = committed = checksum(data[:24], (0, 0), order)
    while at + _FRAME_HEADER + size <= len(data):
        frame = data[at : at + _FRAME_HEADER + size]
        sums = checksum(frame[_FRAME_HEADER:], checksum(frame[:8], sums, order), order)
        if frame[8:16] != salts or frame[16:24] != struct.pack(">II", *sums):
            break
        at += len(frame)
        if frame[4:8] != bytes(4):
            end, committed = at, sums
    return end, committed


def checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    """The cumulative sums of SQLite's file format, section 4.2."""
    s0, s1 = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) & 0xFFFFFFFF
        s1 = (s1 + x1 + s0) & 0xFFFFFFFF
    return s0, s1


def _order(data: bytes) -> str:
    return ">" if int.from_bytes(data[:4]) == _BIG_ENDIAN_SUMS else "<"


def _page_size(data: bytes) -> int:
    return int.from_bytes(data[8:12])
