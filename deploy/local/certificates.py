"""A certificate authority of this machine's own, by OpenSSL's program: for servers and clients that speak TLS."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.process import MissingPart

_EXTENSIONS = """
[req]
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_AUTHORITY = "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n"
_OTHERS = "basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both in PEM and without a password."""

    certificate: Path
    key: Path

    def together(self) -> Path:
        """Both in one file, as Java wants it."""
        path = self.key.with_suffix(".both")
        path.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        return path


class Authority:
    """Signs certificates for a day; all its files lie in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        """Raises `MissingPart` where OpenSSL is not installed."""
        self._directory = directory / name
        self._directory.mkdir()
        self._own = self._made(name, _AUTHORITY)

    @property
    def certificate(self) -> Path:
        """What whoever trusts it is given."""
        return self._own.certificate

    def issue(self, name: str, *places: str) -> Pair:
        """A new certificate, for the places (`IP:127.0.0.1`, `DNS:localhost`) when it is a server's."""
        names = f"subjectAltName = {','.join(places)}\n" if places else ""
        return self._made(name, _OTHERS + names, signed_by=self._own)

    def _made(self, name: str, extensions: str, signed_by: Pair | None = None) -> Pair:
        made = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        config = self._directory / f"{name}.cnf"
        config.write_text(_EXTENSIONS + extensions)
        signing = ("-CA", signed_by.certificate, "-CAkey", signed_by.key) if signed_by else ()
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-noenc", "-days", "1", "-subj", f"/CN={name}", "-config", config, *signing),
            *("-keyout", made.key, "-out", made.certificate),
        )
        return made


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise MissingPart("OpenSSL's program: install openssl")
    answer = subprocess.run(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {answer.stderr.strip()}")
