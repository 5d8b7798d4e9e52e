"""The database of one service; the only place that knows whether it is PostgreSQL or SQLite."""

from shared.db.bulk import Upsert, append, delete, insert, load, lock, update
from shared.db.days import cut_by
from shared.db.due import Due, seconds_overdue
from shared.db.engine import Database, Tx, after_commit, now, open_database, wake
from shared.db.keys import key_rows, key_values
from shared.db.prepared import Prepared, among
from shared.db.types import BigId, Json, UtcDateTime

__all__ = [
    "BigId",
    "Database",
    "Due",
    "Json",
    "Prepared",
    "Tx",
    "Upsert",
    "UtcDateTime",
    "after_commit",
    "among",
    "append",
    "cut_by",
    "delete",
    "insert",
    "key_rows",
    "key_values",
    "load",
    "lock",
    "now",
    "open_database",
    "seconds_overdue",
    "update",
    "wake",
]
