"""The doors of a broker that are locked: one opens to a name and a password, one to a certificate; both speak TLS. And
who may do what behind them, and who asked for what."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from deploy.local.certificates import Authority
from deploy.local.kafka import Listener
from deploy.local.ports import free_port

_TLS = """
listener.name.{name}.ssl.keystore.type=PEM
listener.name.{name}.ssl.keystore.location={keystore}
listener.name.{name}.ssl.truststore.type=PEM
listener.name.{name}.ssl.truststore.location={truststore}
"""
_SCRAM = """
listener.name.{name}.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.{name}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
_MUTUAL = """
listener.name.{name}.ssl.client.auth=required
"""
_AUTHORIZING = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users={names}
"""

_AUDIT = re.compile(
    r"Principal = User:(?P<user>\S+) is (?P<answer>Allowed|Denied) operation = (?P<operation>\w+)"
    r" .* on resource = (?P<kind>\w+):LITERAL:(?P<name>\S+) for request = (?P<request>\w+)"
)


class Asked(NamedTuple):
    """What the authorizer was asked for, and whether it let it be done."""

    user: str
    operation: str
    kind: str
    name: str
    request: str
    allowed: bool


def asked(said: str) -> Iterator[Asked]:
    """What a broker's authorizer was asked for, by what the broker has printed; words as in a KafkaUser's ACLs."""
    for found in _AUDIT.finditer(said):
        operation = "".join(word.title() for word in found["operation"].split("_"))
        yield Asked(
            found["user"],
            operation,
            found["kind"].lower(),
            found["name"],
            found["request"],
            found["answer"] == "Allowed",
        )


def authorizing(*names: str) -> str:
    """The lines by which a broker lets these principals do everything, with whoever comes through the plain door, and all
    others what they are granted."""
    principals = (f"User:{name}" for name in ("ANONYMOUS", *names))
    return _AUTHORIZING.format(names=";".join(principals))


def secured_listeners(authority: Authority, *places: str) -> tuple[Listener, Listener]:
    """SASL_SSL with SCRAM-SHA-512, and TLS with client certificates of the authority; the broker's own certificate is
    for these places."""
    keystore = authority.issue("broker", *places).together()

    def listener(name: str, protocol: str, more: str) -> Listener:
        settings = (_TLS + more).format(
            name=name.lower(), keystore=keystore, truststore=authority.certificate
        )
        port = free_port()
        return Listener(name, port, port, protocol, settings)

    return listener("PASSWORD", "SASL_SSL", _SCRAM), listener("MUTUAL", "SSL", _MUTUAL)
