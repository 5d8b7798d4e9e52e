"""TLS of our clients from files: when one is replaced, every new connection has the new one."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from shared.errors import StartupError
from shared.watched import Watched

_OTHER_HOST = (62, 64)
"""What OpenSSL calls a certificate for another name, or another address."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom to trust, the system's authorities without `ca`; and who we are, for servers that ask.

    `settings` is how the names of the settings begin, for sentences about them.
    """

    settings: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def named(self) -> bool:
        return any((self.ca, self.certificate, self.key))


def client_context(files: TlsFiles, *, check_hostname: bool = True) -> ssl.SSLContext:
    """A context that trusts and shows what the files hold at each new connection; a broken edit is logged, and the
    last good files stay in force. Raises `StartupError` naming the setting whose file cannot be used."""
    paths = [path for path in (files.ca, files.certificate, files.key) if path]
    made = Watched(f"TLS files of {files.settings}_*", paths, partial(_made, files, check_hostname))
    return _Newest(lambda: made.value)


def distrust(error: ssl.SSLCertVerificationError, settings: str, url: str) -> str:
    """Why a server's certificate was turned down, with the setting that would change it."""
    words = error.verify_message.rstrip(".")
    if error.verify_code in _OTHER_HOST:
        return (
            f"its certificate is another server's: {words}; {url} must use a name that stands in it"
        )
    return f"its certificate is not trusted: {words}; {settings}_CA_FILE says whose signature is"


class _Newest(ssl.SSLContext):
    """Has the newest context wrap each connection. By itself it trusts nobody."""

    _current: Callable[[], ssl.SSLContext]

    def __new__(cls, _current: Callable[[], ssl.SSLContext]) -> "_Newest":
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, current: Callable[[], ssl.SSLContext]) -> None:
        self._current = current

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """What event loops call, once for each connection."""
        return self._current().wrap_bio(*arguments, **options)


def _made(files: TlsFiles, check_hostname: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=files.ca)
    except OSError as error:
        raise StartupError(_unusable(f"{files.settings}_CA_FILE", files.ca, error)) from error
    context.check_hostname = check_hostname
    if files.certificate is not None:
        try:
            # A key that wants a password would have it asked for on the terminal.
            context.load_cert_chain(files.certificate, files.key, password="")
        except OSError as error:
            names = f"{files.settings}_CERTIFICATE_FILE and {files.settings}_KEY_FILE"
            raise StartupError(_unusable(names, files.certificate, error)) from error
    return context


def _unusable(setting: str, path: Path | None, error: OSError) -> str:
    words = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return f"{setting} {path} cannot be used: {words or error}"
