"""The schema of a service as it was: its migrations up to some revision."""

import shutil
from pathlib import Path

from shared.schema import Schema


def schema_at(schema: Schema, revision: str, directory: Path) -> Schema:
    """The same service with no migration newer than that, copied to the directory."""
    copied = directory / schema.service
    shutil.copytree(schema.migrations, copied)
    for path in (copied / "versions").glob("*.py"):
        if path.name[:4] > revision:
            path.unlink()
    return Schema(schema.service, copied)
