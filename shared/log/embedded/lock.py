"""Keeps a second process out of the log's directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import StartupError


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """Make the directory and hold its lock until the process ends or the block is left; else `StartupError`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "log.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(
            f"the directory {directory} cannot be used for the log: {error.strerror}"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartupError(
                f"another process already uses the log in {directory}; stop it, or give this one its own directory"
            ) from error
        yield
    finally:
        os.close(descriptor)
