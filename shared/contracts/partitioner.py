"""The one partitioner, shared by every log, so that a key's order survives a change of mode."""

import zlib


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key: CRC-32 modulo the count; never change it, records would leave their order."""
    return zlib.crc32(key) % partitions
