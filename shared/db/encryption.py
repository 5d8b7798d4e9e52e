"""What the URL's sslmode and the authority's file make of the connection to PostgreSQL."""

import ssl
from pathlib import Path

from shared.errors import StartupError
from shared.tls import TlsFiles, client_context

SETTINGS = "AFTERWORD_DATABASE"
_UNVERIFIED = ("disable", "allow", "prefer", "require")
_VERIFIED = ("verify-ca", "verify-full")


def encryption(mode: str | None, ca_file: Path | None) -> ssl.SSLContext | str | None:
    """The driver's argument `ssl`; None leaves it to the driver, which then prefers TLS and verifies nothing.

    Raises `StartupError` for a mode that there is not, or that would not look at the authority that is named.
    """
    if mode is not None and mode not in (*_UNVERIFIED, *_VERIFIED):
        raise StartupError(
            f"AFTERWORD_DATABASE_URL: sslmode must be one of {', '.join((*_UNVERIFIED, *_VERIFIED))}, not {mode!r}"
        )
    if mode in _VERIFIED or (ca_file is not None and mode is None):
        return client_context(TlsFiles(SETTINGS, ca_file), check_hostname=mode != "verify-ca")
    if ca_file is not None:
        raise StartupError(
            f"AFTERWORD_DATABASE_CA_FILE is set, and sslmode={mode} in AFTERWORD_DATABASE_URL verifies nothing:"
            " say sslmode=verify-full there"
        )
    return _unverified() if mode == "require" else mode


def _unverified() -> ssl.SSLContext:
    """The driver's own `require` would look for an authority in the home directory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
