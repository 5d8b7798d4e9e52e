"""The previous release's code, taken out of the history of this repository into a directory of its own."""

import compileall
import os
import shutil
import subprocess
from pathlib import Path

from deploy.local.process import MissingPart

_ROOT = Path(__file__).parents[2]
_FILE = Path(__file__).parent / "PREVIOUS"
_ASKED = "AFTERWORD_PREVIOUS"
NOW = _ROOT
"""Where this release's code is."""


class NoHistory(MissingPart):
    """This is a shallow clone or an export of the files: there is no release before this one."""


def export_previous(directory: Path) -> Path:
    """Put the files of the previous release (`AFTERWORD_PREVIOUS`, else what the file PREVIOUS names, which a release
    bumps) into the directory. Raises `NoHistory`, and `ValueError` for a revision that was asked for and is none."""
    asked = os.environ.get(_ASKED)
    revision = asked or _FILE.read_text(encoding="utf-8").strip()
    if not _has(revision):
        if asked and _has("HEAD"):
            raise ValueError(f"{_ASKED}={asked} names no commit of this repository")
        raise NoHistory(f"commit {revision[:12]} (a clone with the whole history has it)")
    directory.mkdir()
    archive = directory.with_suffix(".tar")
    subprocess.run([*_GIT, "archive", "--output", archive, revision], check=True)
    shutil.unpack_archive(archive, directory, filter="data")
    archive.unlink()
    compileall.compile_dir(directory, quiet=1)  # else each of its processes does, all at once
    return directory


_GIT = ("git", "-C", str(_ROOT))


def _has(revision: str) -> bool:
    look = [*_GIT, "cat-file", "-e", f"{revision}^{{commit}}"]
    try:
        return subprocess.run(look, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
