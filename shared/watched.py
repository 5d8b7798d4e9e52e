"""What files say, read again when they change: a broken edit is logged, and the last good state stays in force."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from shared.errors import StartupError
from shared.telemetry import log

LOOK_SECONDS = 1.0
Value = TypeVar("Value")
_Stamp = tuple[int, int, int]


class Watched(Generic[Value]):
    """A value made of files; whoever asks for it gets what they say now, give or take a second."""

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], Value]) -> None:
        """Read it for the first time. `read` raises `StartupError` for what is wrong, and so does this."""
        self._what = what
        self._paths = tuple(paths)
        self._read = read
        self._refused = ""
        self._stamps = self._look()
        self._value = read()
        self._looked_at = time.monotonic()

    @property
    def value(self) -> Value:
        at = time.monotonic()
        if at - self._looked_at >= LOOK_SECONDS:
            self._looked_at = at
            self._refresh()
        return self._value

    def _refresh(self) -> None:
        # Before the reading, so that what changes meanwhile is seen the next time.
        stamps = self._look()
        if stamps == self._stamps:
            return
        try:
            self._value = self._read()
        except StartupError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                log.error("file_refused", file=self._what, reason=self._refused)
            return
        self._stamps, self._refused = stamps, ""
        log.info("file_read", file=self._what)

    def _look(self) -> tuple[_Stamp | None, ...]:
        """Of each file something that changes with it; a mounted Secret changes by a link that points elsewhere."""
        return tuple(map(_stamp, self._paths))


def _stamp(path: Path) -> _Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None  # that it is gone, reading it says better
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
