"""Says of a database's error whether trying again can help: only then it is `Unavailable`."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.db.encryption import SETTINGS
from shared.errors import TurnedAway, Unavailable
from shared.tls import distrust

_RETRIABLE_SQLSTATE = ("08", "40", "53", "55P03", "57014", "57P", "58", "25006", "25P03")
"""Connection, rollback (deadlock, serialisation), resources, lock timeout, cancel, shutdown, I/O, fail-over."""
_TURNED_AWAY_SQLSTATE = ("28", "3D")
"""No such role, a wrong password, no such database: nothing that a record could be to blame for."""
_RETRIABLE_SQLITE = ("locked", "disk", "full", "unable to open", "readonly")


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Raise `Unavailable` or `TurnedAway` for what is no fault of the statement; all else goes through as it is."""
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        _raise(error, state, retriable=_retriable(error, state))
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ) as error:  # of BEGIN and COMMIT
        state = getattr(error, "sqlstate", None) or "08"
        _raise(error, state, retriable=state.startswith(_RETRIABLE_SQLSTATE))
    except ssl.SSLCertVerificationError as error:
        words = distrust(error, SETTINGS, f"{SETTINGS}_URL")
        raise Unavailable(f"database: {words}") from error
    except (PoolTimeout, OSError) as error:
        raise Unavailable(f"database: {_brief(error)}") from error


def _raise(error: Exception, state: str | None, *, retriable: bool) -> None:
    if str(state).startswith(_TURNED_AWAY_SQLSTATE):
        raise TurnedAway(f"database: {_brief(error)}") from error
    if retriable:
        raise Unavailable(f"database: {_brief(error)}") from error
    raise error


def _retriable(error: DBAPIError, state: str | None) -> bool:
    if error.connection_invalidated:
        return True
    if error.orig is not None and isinstance(error.orig.__cause__, asyncpg.InternalClientError):
        return True  # the server's farewell came in the middle of something
    if state is not None:
        return str(state).startswith(_RETRIABLE_SQLSTATE)
    text = str(error.orig).lower()
    return isinstance(error.orig, OSError) or any(
        word in text for word in (*_RETRIABLE_SQLITE, "connection")
    )


def _brief(error: BaseException) -> str:
    return (str(getattr(error, "orig", None) or error) or type(error).__name__).splitlines()[0][
        :300
    ]
