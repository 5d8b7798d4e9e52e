"""Who a process is to the log's brokers, and whom it takes for one; needs no Kafka client."""

from dataclasses import dataclass

from pydantic import SecretStr

from shared.tls import TlsFiles

_NO_FILES = TlsFiles("AFTERWORD_KAFKA")


@dataclass(frozen=True, slots=True)
class Login:
    """A name with a password, a certificate, or neither; the files mean something only to a TLS URL."""

    username: str | None = None
    password: SecretStr | None = None
    tls: TlsFiles = _NO_FILES


NOBODY = Login()
