"""A small disk of its own, in memory, mounted where wanted: it can be filled and emptied again."""

import errno
import subprocess
from pathlib import Path

from deploy.local.process import MissingPart

# Unmounts when whoever mounted is gone, even by SIGKILL: the pipe closes with its last writer. Lazily: whoever still
# has a file open keeps it, and the disk is gone from the tree all the same.
_LIFELINE = 'cat >/dev/null; umount -l "$1"'
_BALLAST = ".ballast"
_CHUNK = b"\0" * 65_536


class SmallDisk:
    """Mounted over a directory while the context is open; `fill` leaves not a byte, `free` gives it all back."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self.directory = directory
        self._megabytes = megabytes
        self._lifeline: subprocess.Popen[bytes] | None = None

    def fill(self) -> None:
        """Write until there is no space left; harmless when repeated, and then takes what became free."""
        try:
            with (self.directory / _BALLAST).open("ab", 0) as ballast:
                while True:
                    ballast.write(_CHUNK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.directory / _BALLAST).unlink(missing_ok=True)

    def __enter__(self) -> "SmallDisk":
        """Raises `MissingPart` where mounting is not allowed."""
        size = f"size={self._megabytes}m,mode=755"
        try:
            answer = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", size, "tmpfs", self.directory],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise MissingPart("the program mount, and the right to use it") from None
        if answer.returncode:
            raise MissingPart(f"the right to mount a small disk: {answer.stderr.strip()}")
        self._lifeline = subprocess.Popen(
            ["/bin/sh", "-c", _LIFELINE, "lifeline", self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *raised: object) -> None:
        if self._lifeline is not None and self._lifeline.stdin is not None:
            self._lifeline.stdin.close()
            self._lifeline.wait()
