"""How every Kafka client secures its connections, from the URL's scheme and the login: one place for TLS and SASL."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from shared.errors import StartupError
from shared.log.login import NOBODY, Login
from shared.tls import client_context

MECHANISM = "SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class Security:
    """What a connection to a broker is made with."""

    login: Login = NOBODY
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, servers: Sequence[str], login: Login, *, encrypted: bool) -> "Security":
        """Raises `StartupError` for settings that contradict each other, or would be silently of no effect."""
        if (login.username is None) != (login.password is None):
            raise StartupError(
                "AFTERWORD_KAFKA_USERNAME and AFTERWORD_KAFKA_PASSWORD belong together: set both or none"
            )
        if (login.tls.certificate is None) != (login.tls.key is None):
            raise StartupError(
                "AFTERWORD_KAFKA_CERTIFICATE_FILE and AFTERWORD_KAFKA_KEY_FILE belong together: set both or none"
            )
        if encrypted:
            return cls(login, client_context(login.tls))
        if login.tls.named:
            raise StartupError(
                "there are files for TLS to Kafka, and AFTERWORD_LOG_URL begins with kafka://, which is without TLS:"
                " begin it with kafka+ssl://, or set none of AFTERWORD_KAFKA_CA_FILE, _CERTIFICATE_FILE and _KEY_FILE"
            )
        if login.username is not None and not all(map(_on_this_machine, servers)):
            raise StartupError(
                "AFTERWORD_KAFKA_PASSWORD is never used over a network without TLS, where it could be guessed from"
                " what is seen and all else be read: begin AFTERWORD_LOG_URL with kafka+ssl://"
            )
        return cls(login)

    def options(self) -> dict[str, Any]:
        """The arguments of the library's clients; it checks the host's name against the certificate."""
        options: dict[str, Any] = {"security_protocol": "SSL" if self.tls else "PLAINTEXT"}
        if self.tls is not None:
            options["ssl_context"] = self.tls
        if self.login.username is not None and self.login.password is not None:
            options |= {
                "security_protocol": "SASL_SSL" if self.tls else "SASL_PLAINTEXT",
                "sasl_mechanism": MECHANISM,
                "sasl_plain_username": self.login.username,
                "sasl_plain_password": self.login.password.get_secret_value(),
            }
        return options


PLAIN = Security()


def host_and_port(server: str) -> tuple[str, int]:
    """Of `host:port`, the host without the brackets of an IPv6 address."""
    host, _, port = server.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _on_this_machine(server: str) -> bool:
    host, _ = host_and_port(server)
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
